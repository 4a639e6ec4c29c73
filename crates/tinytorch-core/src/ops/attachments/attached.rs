//! What stands beside a weight, as files tell it.

use super::adapter::{Adapter, AdapterConfig};
use super::fake_quant::{FakeQuant, FakeQuantConfig};
use super::low_rank::LowRank;
use crate::Result;
use crate::autograd::{Param, Stored};
use crate::ops::{AttachmentKind, Weight};
use serde::{Deserialize, Serialize};

/// What stands beside a weight, without its values: with this a file's model is built before it is
/// loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attached {
    /// The rank of a weight that is stored as two factors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_rank: Option<usize>,
    /// The adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterConfig>,
    /// The fake quantization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fake_quant: Option<FakeQuantConfig>,
}

impl Weight {
    /// What stands beside it.
    pub fn attached(&self) -> Attached {
        Attached {
            low_rank: self.config_of::<LowRank>(),
            adapter: self.config_of::<Adapter>(),
            fake_quant: self.config_of::<FakeQuant>(),
        }
    }

    /// A weight of this one's shape and role without values, with these things beside it: what a file
    /// is loaded into.
    ///
    /// # Errors
    /// If the weight cannot have one of them.
    pub fn absent_with(&self, attached: &Attached) -> Result<Weight> {
        let mut weight = Weight::from(Param::absent(self.shape(), self.role()));
        weight.set_frozen(self.is_frozen());
        weight.attach_absent::<LowRank>(attached.low_rank)?;
        weight.attach_absent::<FakeQuant>(attached.fake_quant)?;
        weight.attach_absent::<Adapter>(attached.adapter)?;
        Ok(weight)
    }

    fn config_of<K: AttachmentKind>(&self) -> Option<K::Config> {
        self.attachment::<K>().map(K::config)
    }

    fn attach_absent<K: AttachmentKind>(&mut self, config: Option<K::Config>) -> Result<()> {
        let Some(config) = config else { return Ok(()) };
        let layer = self.layer_shape();
        let one = K::absent(config, &layer, self.role())?;
        let own = K::own_shape(config, &layer);
        if own != layer {
            self.store(Stored::Absent(own));
        }
        self.attach(one);
        Ok(())
    }
}
