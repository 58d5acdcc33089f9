//! The keys of `inject`: one for each action, of which a phase takes one.

use crate::plan::{Action, Direction, OneIn, Target};
use crate::unit::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One action. Targets are a server, `"sut.server[1]"`, or where it says so one of its cores,
/// `"sut.server[1].core[0]"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct InjectKeys {
    /// The server is gone at once and silently: neither FIN nor link-down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill: Option<Target>,
    /// The server hands over, withdraws its routes and ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leave: Option<Target>,
    /// A server that was killed or has left starts again, empty.
    #[serde(rename = "return", skip_serializing_if = "Option::is_none")]
    pub returns: Option<Target>,
    /// A server that has not run so far starts: where this is the first that happens to a server,
    /// it is absent at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<Target>,
    /// The cores of a server, or one core, stop polling while the server lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hang: Option<Target>,
    /// Ends `hang`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Target>,
    /// The links of a server, or of one core, go down, which both ends see at once: neither waits for
    /// BFD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_down: Option<Target>,
    /// Ends `link-down`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_up: Option<Target>,
    /// Frames to and from a server, or one core, vanish, which neither end sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionKeys>,
    /// Ends `partition`, `loss` and `delay` of a server or one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heal: Option<Target>,
    /// A share of the frames to and from a server, or one core, vanishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossKeys>,
    /// All frames to and from a server, or one core, take longer, each way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<DelayKeys>,
    /// The server leaves and then returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Target>,
}

/// All frames of a direction vanish.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionKeys {
    /// A server or core.
    pub target: Target,
    /// `in` is what is sent to the target.
    #[serde(default)]
    pub direction: Direction,
}

/// A share of the frames vanishes, both directions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LossKeys {
    /// A server or core.
    pub target: Target,
    /// Which share.
    pub share: OneIn,
}

/// All frames take longer, each way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DelayKeys {
    /// A server or core.
    pub target: Target,
    /// How much longer, each way; at most 1 s. One that is longer than BFD waits begins with an outage.
    pub by: Duration,
}

impl InjectKeys {
    /// The actions that are written, each with its target.
    pub(crate) fn given(&self) -> Vec<(Action, Target)> {
        let plain = [
            (Action::Kill, self.kill),
            (Action::Leave, self.leave),
            (Action::Return, self.returns),
            (Action::Join, self.join),
            (Action::Hang, self.hang),
            (Action::Resume, self.resume),
            (Action::LinkDown, self.link_down),
            (Action::LinkUp, self.link_up),
            (Action::Heal, self.heal),
            (Action::Upgrade, self.upgrade),
        ];
        let partition = self.partition.map(|keys| (Action::Partition(keys.direction), keys.target));
        let loss = self.loss.map(|keys| (Action::Loss(keys.share), keys.target));
        let delay = self.delay.map(|keys| (Action::Delay { by_ns: keys.by.0 }, keys.target));
        let plain = plain.into_iter().filter_map(|(action, target)| Some((action, target?)));
        plain.chain([partition, loss, delay].into_iter().flatten()).collect()
    }
}
