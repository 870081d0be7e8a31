//! One event to several sinks.

use std::sync::Arc;

use crate::event::{Event, Sink};

/// Passes every event to each of its sinks, in their order.
pub struct Tee(Vec<Arc<dyn Sink>>);

impl Tee {
    /// `Arc::from(sink(mode))` makes one of the sinks of this module.
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Tee(sinks)
    }
}

impl Sink for Tee {
    fn emit(&self, event: Event) {
        let Some((last, others)) = self.0.split_last() else { return };
        for sink in others {
            sink.emit(event.clone());
        }
        last.emit(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Recorder;

    #[test]
    fn every_sink_gets_every_event() {
        let (first, second) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
        let tee = Tee::new(vec![first.clone(), second.clone()]);
        tee.emit(Event::Observing { hosts: 1 });
        tee.emit(Event::Observed { host: "m1".into(), reachable: true });
        let expected = [Event::Observing { hosts: 1 }, Event::Observed { host: "m1".into(), reachable: true }];
        assert_eq!(first.events(), expected);
        assert_eq!(second.events(), expected);
        Tee::new(Vec::new()).emit(Event::Observing { hosts: 1 });
    }
}
