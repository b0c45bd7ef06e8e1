//! Whether a job can go on from a checkpoint: everything that is stored must have somebody who takes it.

use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::runtime::checkpoint::Checkpoint;

/// Refuses a checkpoint with state that no operator claims, unless that is allowed.
pub(crate) fn check(checkpoint: &Checkpoint, plan: &Plan, allow_non_restored: bool) -> Result<()> {
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
