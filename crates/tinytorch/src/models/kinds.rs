//! The kinds of models that a program knows by name.

use super::{
    Bert, Cnn, Gpt, Hybrid, ImageText, Llama, Mlp, Model, ModelError, Rebuild, Resnet,
    SentenceEncoder, description,
};
use crate::Result;
use crate::nn::Init;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

type Build = fn(Map<String, Value>, &mut Init) -> Result<Box<dyn Model>>;

/// The kinds of models that a program can load by the name in a file.
///
/// ```
/// use tinytorch::{models::Kinds, nn::Init};
/// let kinds = Kinds::built_in();
/// let model = kinds.build(r#"{"architecture":"mlp","inputs":4,"hidden":[],"outputs":2}"#, &mut Init::seed(0))?;
/// assert_eq!(model.kind(), "mlp");
/// assert!(kinds.names().any(|name| name == "image-text"));
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone)]
pub struct Kinds(BTreeMap<&'static str, Build>);

impl Kinds {
    /// None at all.
    pub fn none() -> Kinds {
        Kinds(BTreeMap::new())
    }

    /// The kinds of tinytorch's own models.
    pub fn built_in() -> Kinds {
        Kinds::none()
            .with::<Mlp>()
            .with::<Cnn>()
            .with::<Hybrid>()
            .with::<Gpt>()
            .with::<Llama>()
            .with::<Bert>()
            .with::<Resnet>()
            .with::<ImageText>()
            .with::<SentenceEncoder>()
    }

    /// These, and models of type `M`, in the place of a kind of the same name.
    pub fn with<M: Rebuild>(mut self) -> Kinds {
        self.0.insert(M::NAME, |fields, init| {
            Ok(Box::new(M::build(&description::config(M::NAME, fields)?, init)?))
        });
        self
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// The model that [`Model::description`] describes, its parameters as `init` makes them.
    ///
    /// # Errors
    /// [`ModelError::UnknownKind`], [`ModelError::Description`], or what the kind refuses.
    pub fn build(&self, description: &str, init: &mut Init) -> Result<Box<dyn Model>> {
        let (kind, fields) = description::read(description)?;
        let Some(build) = self.0.get(kind.as_str()) else {
            return Err(ModelError::UnknownKind { kind, known: self.list() }.into());
        };
        build(fields, init)
    }

    fn list(&self) -> String {
        self.names().collect::<Vec<_>>().join(", ")
    }
}

impl Default for Kinds {
    /// [`Kinds::built_in`].
    fn default() -> Kinds {
        Kinds::built_in()
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kinds").field(&self.list()).finish()
    }
}
