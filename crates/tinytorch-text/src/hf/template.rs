//! Special tokens around one text or two.

use crate::{Shown, TextError, Vocab};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Ids of a finished input, each with the type of the segment it belongs to (0 or 1).
pub(super) type Typed = Vec<(i64, i64)>;

/// Where special tokens go around one text or a pair of texts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    single: Vec<Slot>,
    pair: Vec<Slot>,
}

#[derive(Clone, Debug, PartialEq)]
enum Slot {
    First(i64),
    Second(i64),
    Special(Typed),
}

#[derive(Deserialize)]
pub(super) struct TemplateFile {
    single: Vec<SlotFile>,
    pair: Vec<SlotFile>,
    special_tokens: BTreeMap<String, SpecialFile>,
}

#[derive(Deserialize)]
enum SlotFile {
    Sequence { id: Sequence, type_id: i64 },
    SpecialToken { id: String, type_id: i64 },
}

#[derive(Deserialize)]
enum Sequence {
    A,
    B,
}

#[derive(Deserialize)]
struct SpecialFile {
    ids: Vec<i64>,
}

impl Template {
    /// The texts one after the other, with nothing around them.
    pub(super) fn plain() -> Template {
        let (first, second) = (Slot::First(0), Slot::Second(1));
        Template { single: vec![first.clone()], pair: vec![first, second] }
    }

    pub(super) fn new(file: TemplateFile, vocab: &Vocab) -> Result<Template, TextError> {
        let slot = |slot: SlotFile| match slot {
            SlotFile::Sequence { id: Sequence::A, type_id } => Ok(Slot::First(type_id)),
            SlotFile::Sequence { id: Sequence::B, type_id } => Ok(Slot::Second(type_id)),
            SlotFile::SpecialToken { id, type_id } => {
                let special = file.special_tokens.get(&id).ok_or_else(|| {
                    let id = Shown::from(&*id);
                    TextError::not_json(format!("the template's special token {id} is not defined"))
                })?;
                let ids = &special.ids;
                ids.iter().try_for_each(|&id| vocab.token(id).map(drop))?;
                Ok(Slot::Special(ids.iter().map(|&id| (id, type_id)).collect()))
            }
        };
        let single: Vec<Slot> = file.single.into_iter().map(slot).collect::<Result<_, _>>()?;
        let pair: Vec<Slot> = file.pair.into_iter().map(slot).collect::<Result<_, _>>()?;
        let count =
            |slots: &[Slot], which: fn(&Slot) -> bool| slots.iter().filter(|s| which(s)).count();
        let first: fn(&Slot) -> bool = |slot| matches!(slot, Slot::First(_));
        let second: fn(&Slot) -> bool = |slot| matches!(slot, Slot::Second(_));
        if (count(&single, first), count(&single, second)) != (1, 0) {
            return Err(TextError::not_json(
                "the template for one text should have A once and no B".to_owned(),
            ));
        }
        if (count(&pair, first), count(&pair, second)) != (1, 1) {
            return Err(TextError::not_json(
                "the template for two texts should have A and B once".to_owned(),
            ));
        }
        Ok(Template { single, pair })
    }

    fn slots(&self, is_pair: bool) -> &[Slot] {
        if is_pair { &self.pair } else { &self.single }
    }

    /// Number of special tokens around one text, or two.
    pub(super) fn special(&self, is_pair: bool) -> usize {
        let special = |slot: &Slot| match slot {
            Slot::Special(ids) => ids.len(),
            Slot::First(_) | Slot::Second(_) => 0,
        };
        self.slots(is_pair).iter().map(special).sum()
    }

    pub(super) fn fill(&self, first: &[i64], second: Option<&[i64]>) -> Typed {
        let mut out = Vec::new();
        for slot in self.slots(second.is_some()) {
            match slot {
                Slot::First(kind) => out.extend(first.iter().map(|&id| (id, *kind))),
                Slot::Second(kind) => {
                    out.extend(second.unwrap_or_default().iter().map(|&id| (id, *kind)));
                }
                Slot::Special(ids) => out.extend_from_slice(ids),
            }
        }
        out
    }
}
