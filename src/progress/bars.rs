//! Bars on a terminal: draws the board's lines with indicatif.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::board::Board;
use crate::event::{Event, Sink};

/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(200);
/// The overall bar's steps; indicatif counts in whole numbers.
const STEPS: u64 = 1000;

/// The sink. Bars are on the screen only while hosts are looked at and while tasks run, so that questions and the
/// summary have the terminal to themselves.
pub(super) struct Bars {
    began: Instant,
    board: Arc<Mutex<Board>>,
    screen: Mutex<Option<Screen>>,
}

impl Default for Bars {
    fn default() -> Self {
        Bars { began: Instant::now(), board: Arc::default(), screen: Mutex::default() }
    }
}

impl Sink for Bars {
    fn emit(&self, event: Event) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        // The overall bar's text takes the board's lock when indicatif draws: it must be free again before any drawing.
        let (above, lines, fraction, observed) = {
            let mut board = lock(&self.board);
            let above = board.apply(&event, self.began.elapsed());
            (above, board.lines(), board.fraction(), board.all_observed())
        };
        match event {
            Event::Observing { .. } => *screen = Some(Screen::new(&self.board, self.began, "{words}")),
            Event::Planned { .. } => *screen = Some(Screen::new(&self.board, self.began, "{bar:20} {words}")),
            _ => {}
        }
        match (&mut *screen, above) {
            (Some(screen), above) => screen.draw(above.as_deref(), &lines, fraction),
            (None, Some(above)) => eprintln!("{above}"),
            (None, None) => {}
        }
        let over = matches!(event, Event::Ended { .. }) || (observed && matches!(event, Event::Observed { .. }));
        if over {
            *screen = None;
        }
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is drawn now, the overall bar first: a low terminal cuts the end off. Dropping it takes the bars off the screen.
struct Screen {
    all: MultiProgress,
    hosts: Vec<ProgressBar>,
    overall: ProgressBar,
}

impl Screen {
    fn new(board: &Arc<Mutex<Board>>, began: Instant, template: &str) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let overall = all.add(ProgressBar::new(STEPS));
        let board = Arc::clone(board);
        let words = move |_: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = text.write_str(&lock(&board).overall(began.elapsed()));
        };
        overall.set_style(style(template).with_key("words", words).progress_chars("█░"));
        overall.enable_steady_tick(TICK);
        Screen { all, hosts: Vec::new(), overall }
    }

    fn draw(&mut self, above: Option<&str>, lines: &[String], fraction: f64) {
        if let Some(text) = above {
            let _ = self.all.println(text);
        }
        while self.hosts.len() < lines.len() {
            let bar = self.all.add(ProgressBar::no_length());
            bar.set_style(style("{wide_msg}"));
            self.hosts.push(bar);
        }
        while self.hosts.len() > lines.len() {
            if let Some(bar) = self.hosts.pop() {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
        }
        for (bar, line) in self.hosts.iter().zip(lines) {
            if bar.message() != *line {
                bar.set_message(line.clone());
            }
        }
        self.overall.set_position((fraction * STEPS as f64) as u64);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.overall.disable_steady_tick();
        for bar in self.hosts.iter().chain([&self.overall]) {
            bar.finish_and_clear();
        }
        let _ = self.all.clear();
    }
}

/// Invariant: the templates are constants of this file, and the test below reads each.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::sample::{failing_run, good_run};

    #[test]
    fn the_templates_are_well_formed() {
        for template in ["{words}", "{bar:20} {words}", "{wide_msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_run_ends_without_bars_and_without_a_deadlock() {
        let bars = Bars::default();
        for event in good_run().into_iter().chain(failing_run()) {
            let last = matches!(event, Event::Ended { .. });
            bars.emit(event);
            if last {
                assert!(lock_screen(&bars).is_none());
            }
        }
    }

    #[test]
    fn the_screen_is_free_while_the_operator_is_asked() {
        let bars = Bars::default();
        bars.emit(Event::Observing { hosts: 1 });
        assert!(lock_screen(&bars).is_some());
        bars.emit(Event::Observed { host: "m1".into(), reachable: true });
        assert!(lock_screen(&bars).is_none());
    }

    fn lock_screen(bars: &Bars) -> MutexGuard<'_, Option<Screen>> {
        bars.screen.lock().unwrap()
    }
}
