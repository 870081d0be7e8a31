//! What the answers of one API server mean: a state machine without I/O.

use serde::Serialize;
use tokio::time::Instant;

use super::Timing;

/// How much an API server can be trusted with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not checked yet.
    Unknown,
    /// Answers that it is ready: takes new connections.
    Ready,
    /// Was ready and has stopped answering in time: takes new connections only when no other is ready.
    Slow,
    /// Answers that it is not ready: starting or stopping. Open connections stay.
    NotReady,
    /// Refuses connections, or has never answered.
    Down,
    /// Shows a certificate that the CA did not sign for its address: never gets a connection.
    Untrusted,
    /// Silent for so long that its open connections are closed.
    Gone,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200.
    Ready,
    /// Another HTTP status.
    NotReady(u16),
    /// The host answers, the server does not exist or hangs up.
    Refused(String),
    /// The server's certificate is not what it must be.
    Untrusted(String),
    /// We cannot check, as the CA file is not there yet.
    NoAuthority(String),
    /// A connection was there, the answer did not come in time.
    Mute,
    /// The host did not answer the attempt to connect.
    Silent,
}

/// What is known about one API server.
#[derive(Debug, Clone)]
pub(super) struct Health {
    state: State,
    detail: String,
    /// Time-outs in a row.
    timeouts: u32,
    /// End of the first time-out in a row, and of the first since which the host was silent.
    mute_since: Option<Instant>,
    silent_since: Option<Instant>,
}

impl Health {
    pub(super) fn new() -> Self {
        let detail = "not checked yet".to_string();
        Health { state: State::Unknown, detail, timeouts: 0, mute_since: None, silent_since: None }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Why the state is what it is.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// One time-out proves nothing; the second look comes at once and not an interval later.
    pub(super) fn wants_second_look(&self) -> bool {
        self.state == State::Ready && self.timeouts > 0
    }

    /// Takes in an answer that came at `now`.
    pub(super) fn observe(&mut self, answer: Answer, now: Instant, timing: &Timing) {
        let (state, detail) = match answer {
            Answer::Ready => (State::Ready, "ready".to_string()),
            Answer::NotReady(status) => (State::NotReady, format!("answered {status}")),
            Answer::Refused(reason) => (State::Down, reason),
            Answer::Untrusted(reason) => (State::Untrusted, reason),
            Answer::NoAuthority(reason) => (State::Unknown, reason),
            Answer::Mute | Answer::Silent => return self.time_out(answer == Answer::Silent, now, timing),
        };
        *self = Health { state, detail, timeouts: 0, mute_since: None, silent_since: None };
    }

    fn time_out(&mut self, is_silent: bool, now: Instant, timing: &Timing) {
        self.timeouts = self.timeouts.saturating_add(1);
        let mute_since = *self.mute_since.get_or_insert(now);
        self.silent_since = if is_silent { Some(self.silent_since.unwrap_or(now)) } else { None };
        let is_gone =
            self.silent_since.is_some_and(|since| now - since >= timing.silence) || now - mute_since >= timing.stupor;
        self.state = match self.state {
            _ if is_gone => State::Gone,
            State::Ready if self.timeouts < 2 => State::Ready,
            State::Ready | State::Slow => State::Slow,
            State::Gone => State::Gone,
            _ => State::Down,
        };
        self.detail = match is_silent {
            true => "the host does not answer".to_string(),
            false => "the server does not answer in time".to_string(),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The states after each answer; every answer comes 500 ms after the one before.
    fn states(answers: &[Answer]) -> Vec<State> {
        let (mut health, mut now) = (Health::new(), Instant::now());
        let step = |answer: &Answer| {
            now += Duration::from_millis(500);
            health.observe(answer.clone(), now, &Timing::default());
            health.state()
        };
        answers.iter().map(step).collect()
    }

    #[test]
    fn one_timeout_is_forgiven_two_are_not() {
        use Answer::{Mute, Ready, Silent};
        assert_eq!(states(&[Ready, Mute, Ready, Mute]), [State::Ready; 4]);
        assert_eq!(states(&[Ready, Mute, Silent, Ready])[1..], [State::Ready, State::Slow, State::Ready]);
    }

    #[test]
    fn refusal_and_unreadiness_count_at_once() {
        let refused = Answer::Refused("connection refused".to_string());
        assert_eq!(states(&[Answer::Ready, refused])[1], State::Down);
        assert_eq!(states(&[Answer::Ready, Answer::NotReady(500)])[1], State::NotReady);
        assert_eq!(states(&[Answer::Ready, Answer::Untrusted(String::new())])[1], State::Untrusted);
    }

    #[test]
    fn silence_for_three_seconds_is_gone() {
        let mut answers = vec![Answer::Ready];
        answers.extend(vec![Answer::Silent; 8]);
        let found = states(&answers);
        assert_eq!(found[2..7], [State::Slow; 5]);
        assert_eq!(found[7..], [State::Gone; 2]);
    }

    #[test]
    fn a_stupor_is_given_more_time_than_silence() {
        let mut answers = vec![Answer::Ready];
        answers.extend(vec![Answer::Mute; 21]);
        let found = states(&answers);
        assert_eq!(found[20], State::Slow);
        assert_eq!(found[21], State::Gone);
    }

    #[test]
    fn a_server_that_never_answered_is_down_until_it_does() {
        assert_eq!(states(&[Answer::Silent, Answer::Mute, Answer::Ready]), [State::Down, State::Down, State::Ready]);
        assert_eq!(states(&[Answer::NotReady(500), Answer::Mute])[1], State::Down);
    }

    #[test]
    fn only_the_first_timeout_asks_for_a_second_look() {
        let (mut health, now, timing) = (Health::new(), Instant::now(), Timing::default());
        health.observe(Answer::Ready, now, &timing);
        assert!(!health.wants_second_look());
        health.observe(Answer::Mute, now, &timing);
        assert!(health.wants_second_look());
        health.observe(Answer::Mute, now, &timing);
        assert!(!health.wants_second_look());
    }
}
