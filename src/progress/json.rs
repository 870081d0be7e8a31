//! One event a line on stdout, for programs.

use std::io::Write;

use crate::event::{Event, Sink};
use crate::printable::printable;

/// Writes each event as it comes. A reader that went away does not stop the run.
pub(super) struct Json;

impl Sink for Json {
    fn emit(&self, event: Event) {
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(line(&event).as_bytes()).and_then(|()| output.flush());
    }
}

/// The event and a line feed.
fn line(event: &Event) -> String {
    match serde_json::to_string(event) {
        Ok(text) => printable(&text).into_owned() + "\n",
        // Invariant: events are strings, numbers and lists of them, which always become JSON.
        Err(error) => format!("{}\n", serde_json::json!({"event": "unwritable", "error": error.to_string()})),
    }
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::event::{Event, Phase};
    use crate::progress::sample;

    #[test]
    fn an_event_is_one_line() {
        let event = Event::Progress { task: 3, host: "m1".into(), detail: "a\nb".into(), done: 1, total: 2 };
        let expected = r#"{"event":"progress","task":3,"host":"m1","detail":"a\nb","done":1,"total":2}"#;
        assert_eq!(line(&event), format!("{expected}\n"));
        let ended = Event::Ended { ok: true, milliseconds: 5, phases: vec![(Phase::ControlPlane, 4)] };
        assert_eq!(
            line(&ended),
            "{\"event\":\"ended\",\"ok\":true,\"milliseconds\":5,\"phases\":[[\"control-plane\",4]]}\n"
        );
    }

    #[test]
    fn every_event_can_be_read_back() {
        for event in sample::failing_run() {
            let text = line(&event);
            assert_eq!(text.matches('\n').count(), 1);
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }
}
