//! Keeps what happened, for the summary, the journal and tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::event::{Event, Sink};

/// A sink that keeps events in their order. Of each task's `Progress` events only the latest is kept, in the place of
/// the first, so that a long run on many hosts stays small.
#[derive(Default)]
pub struct Recorder(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    events: Vec<Event>,
    /// Where the running tasks' `Progress` is in `events`.
    progress: BTreeMap<(String, usize), usize>,
}

impl Recorder {
    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).events.clone()
    }
}

impl Sink for Recorder {
    fn emit(&self, event: Event) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = kept.events.len();
        if let Event::Progress { task, host, .. } = &event {
            let place = *kept.progress.entry((host.clone(), *task)).or_insert(next);
            if let Some(earlier) = kept.events.get_mut(place) {
                *earlier = event;
                return;
            }
        }
        kept.events.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_progress_of_a_task_is_kept() {
        let recorder = Recorder::default();
        let progress =
            |task, done| Event::Progress { task, host: "m1".into(), detail: "sending".into(), done, total: 9 };
        let observing = Event::Observing { hosts: 1 };
        for event in [progress(1, 1), observing.clone(), progress(2, 1), progress(1, 5), progress(1, 9)] {
            recorder.emit(event);
        }
        assert_eq!(recorder.events(), [progress(1, 9), observing, progress(2, 1)]);
    }
}
