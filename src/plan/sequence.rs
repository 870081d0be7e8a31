//! Which hosts take turns, and which of them together: read from a plan's tasks.

use super::{Plan, Task, TaskId};
use crate::event::Turn;
use crate::step::Step;

impl Plan {
    /// Control planes one by one, and batches of nodes, in their order.
    pub fn turns(&self) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        // What the tasks of the present batch wait for.
        let mut after: Option<&[TaskId]> = None;
        for (index, task) in self.tasks.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| self.tasks.get(before));
            let goes_on = before.is_some_and(|before| before.host == task.host && task.step.goes_on_from(&before.step));
            match &task.step {
                Step::RollControlPlane(_) => {
                    after = None;
                    turns.push(turn(task, true));
                }
                Step::DrainNode(_) | Step::RollNode(_) | Step::UncordonNode(_) if goes_on => {
                    let last = turns.last_mut().and_then(|turn| turn.ends.last_mut());
                    last.into_iter().for_each(|end| *end = task.id);
                }
                Step::CordonNode(_) | Step::RollNode(_) => match (turns.last_mut(), after) {
                    (Some(batch), Some(same)) if same == task.after => {
                        batch.hosts.push(task.host.clone());
                        batch.begins.push(task.id);
                        batch.ends.push(task.id);
                    }
                    _ => {
                        after = Some(&task.after);
                        turns.push(turn(task, false));
                    }
                },
                _ => {}
            }
        }
        turns
    }

    /// Nodes that it drains, batch after batch.
    pub fn drains(&self) -> Vec<Vec<String>> {
        let is_drained = |id: &TaskId| matches!(self.tasks[*id].step, Step::CordonNode(_));
        let drained = |turn: Turn| -> Vec<String> {
            let hosts = turn.hosts.into_iter().zip(&turn.begins);
            hosts.filter(|(_, begins)| is_drained(begins)).map(|(host, _)| host).collect()
        };
        self.turns().into_iter().map(drained).filter(|nodes| !nodes.is_empty()).collect()
    }
}

fn turn(task: &Task, control_plane: bool) -> Turn {
    Turn { hosts: vec![task.host.clone()], control_plane, begins: vec![task.id], ends: vec![task.id] }
}
