//! Queued messages: that they can be read, and that they are of the events that they name.

use shared::format::dispatch_message::DispatchMessage;
use shared::format::event_line::Event;
use shared::format::spill_message::SpillMessage;

use super::super::balance::{AuditFinding, FindingKind};
use super::saved::name;
use super::{Deep, listed};
use crate::deployment::{Deployment, QueueName, QueuedMessage};

impl<D: Deployment> Deep<'_, D> {
    pub(super) async fn queues(&mut self) -> anyhow::Result<()> {
        for queue in [QueueName::Spill, QueueName::SpillDead] {
            for message in self.deployment.messages(queue).await?.seen {
                self.spilled(&message).await?;
            }
        }
        for queue in [QueueName::Dispatch, QueueName::DispatchDead] {
            for message in self.deployment.messages(queue).await?.seen {
                self.dispatched(&message).await?;
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &QueuedMessage, why: &str) {
        let detail = format!("the message {} of {} is damaged: {why}", message.id, message.sent);
        self.findings.push(AuditFinding::event(FindingKind::Damaged, None, None, detail));
    }

    async fn spilled(&mut self, message: &QueuedMessage) -> anyhow::Result<()> {
        let lines = match SpillMessage::read(&message.body) {
            Ok(lines) => lines,
            Err(why) => {
                self.message(message, &why.to_string());
                return Ok(());
            }
        };
        for line in lines {
            match serde_json::from_slice::<Event>(&line.line) {
                Ok(event) => drop(self.claimed(&name(&event), None, &event).await?),
                Err(why) => self.message(message, &why.to_string()),
            }
        }
        Ok(())
    }

    /// A dispatch message has an archive line.
    async fn dispatched(&mut self, message: &QueuedMessage) -> anyhow::Result<()> {
        let line = DispatchMessage::read(&message.body).and_then(|message| message.line());
        let line = match line {
            Ok(line) => line,
            Err(why) => {
                self.message(message, &why.to_string());
                return Ok(());
            }
        };
        let name = (line.facts.tenant.clone(), line.facts.id.clone());
        let item = self.items(std::slice::from_ref(&name)).await?.pop().flatten();
        let admission = line.facts.admission_id;
        let differs = match item {
            // It may have expired, or be of another event by now.
            None => return Ok(()),
            Some(item) if item.item.facts.admission_id != admission && item.item.origin != *line.origin => {
                return Ok(());
            }
            // The line is stored apart, and is compared with its key.
            Some(_) if line.claim_check.is_some() => return Ok(()),
            Some(item) => item.against_line(&line, &self.config.transform.enrich),
        };
        if !differs.is_empty() {
            let detail =
                format!("its item and its message {} to the target differ: {}", message.id, listed(&differs));
            self.event(&name, Some(&line.origin), None, detail);
        }
        Ok(())
    }
}
