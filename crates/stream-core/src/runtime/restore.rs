//! Whether a job can go on from a checkpoint: everything that is stored must have somebody who takes it, and be of the
//! type that is expected.
//!
//! This is found out before the checkpoint store is taken over: a job that can't go on must not end one that can.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Logic, NodeId};
use crate::operator::{OperatorContext, Snapshot};
use crate::plan::Plan;
use crate::runtime::checkpoint::{Checkpoint, Kept};
use crate::runtime::link::guard;

/// Refuses a checkpoint that the job can't go on from.
pub(crate) fn check(checkpoint: &Checkpoint, plan: &Plan, graph: &mut Graph, allow_non_restored: bool) -> Result<()> {
    check_claims(checkpoint, plan, allow_non_restored)?;
    let mut errors = Vec::new();
    for (index, node) in graph.nodes.iter_mut().enumerate() {
        let planned = plan.node(NodeId(index));
        let (Logic::Operator(logic), Some(subtasks)) = (&mut node.logic, checkpoint.operators.get(&planned.uid)) else {
            continue;
        };
        let schemas: std::collections::BTreeMap<_, _> = subtasks
            .values()
            .filter_map(Kept::state)
            .flat_map(Snapshot::schemas)
            .map(|(n, s)| (n.clone(), s.clone()))
            .collect();
        if schemas.is_empty() {
            continue;
        }
        // Without any entry: what is asked is whether the types still are what they were.
        let empty = Snapshot::from_parts(Default::default(), Default::default(), Default::default(), schemas);
        let context = OperatorContext::new(&*planned.name, &*planned.uid, 0, planned.parallelism)
            .with_max_parallelism(plan.max_parallelism);
        if let Err(error) = guard(|| logic.try_restore(&context, &empty)) {
            errors.push(error.at(|| context.place(None)));
        }
    }
    Error::join(errors).map_or(Ok(()), Err)
}

/// Refuses a checkpoint with state that no operator claims, unless that is allowed.
fn check_claims(checkpoint: &Checkpoint, plan: &Plan, allow_non_restored: bool) -> Result<()> {
    let claimed = |uid: &str| plan.nodes.iter().any(|node| node.uid == uid);
    let stored = checkpoint.uids_with_state();
    let unclaimed: Vec<&str> = stored.iter().copied().filter(|uid| !claimed(uid)).collect();
    if unclaimed.is_empty() {
        return Ok(());
    }
    if allow_non_restored {
        tracing::warn!("state that no operator claims is dropped: {}", unclaimed.join(", "));
        return Ok(());
    }
    let mut difference = String::new();
    for uid in &unclaimed {
        difference.push_str(&format!("\n   - {uid}  (stored, claimed by nobody)"));
    }
    for node in plan.nodes.iter().filter(|node| !stored.contains(&node.uid.as_str()) && node.keeps_state) {
        difference.push_str(&format!("\n   + {}  (operator `{}`, begins without state)", node.uid, node.name));
    }
    let message = format!("the checkpoint has state that no operator of this job claims:{difference}");
    let hint = "give the operator the uid it had, with .uid(\"…\"); to drop the state, set \
                execution.state-recovery.ignore-unclaimed-state: true";
    Err(Error::new(ErrorKind::Config, message).with_hint(hint))
}
