//! Wall time of each phase, from its first start to its last end. Phases overlap, so they add up to more than the whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::event::{Event, Phase, Sink};

/// A sink that looks at the events on their way to another one.
pub(super) struct PhaseTimes {
    next: Arc<dyn Sink>,
    spans: Mutex<BTreeMap<Phase, (Instant, Instant)>>,
}

impl PhaseTimes {
    pub(super) fn over(next: Arc<dyn Sink>) -> PhaseTimes {
        PhaseTimes { next, spans: Mutex::default() }
    }

    /// Each phase that had a task, and its wall time in milliseconds.
    pub(super) fn spans(&self) -> Vec<(Phase, u64)> {
        let spans = self.spans.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        spans.iter().map(|(phase, (from, to))| (*phase, to.duration_since(*from).as_millis() as u64)).collect()
    }
}

impl Sink for PhaseTimes {
    fn emit(&self, event: Event) {
        if let Event::Started { phase, .. } | Event::Finished { phase, .. } | Event::Failed { phase, .. } = &event {
            let now = Instant::now();
            let mut spans = self.spans.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            spans.entry(*phase).or_insert((now, now)).1 = now;
        }
        self.next.emit(event);
    }
}
