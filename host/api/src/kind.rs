//! What the API server calls each kind, and its outer shape on the wire.

/// API group of the five kinds.
pub const GROUP: &str = "argoproj.io";
/// Their only version.
pub const VERSION: &str = "v1alpha1";

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// Once per cluster.
    Cluster,
}

/// One of the five kinds.
pub trait Kind: serde::Serialize + serde::de::DeserializeOwned {
    /// `kind` of an object.
    const KIND: &'static str;
    /// Plural, as in URLs and RBAC.
    const PLURAL: &'static str;
    /// Singular, as users may type it.
    const SINGULAR: &'static str;
    /// The short form that `kubectl` accepts.
    const SHORT_NAME: &'static str;
    /// API group.
    const GROUP: &'static str = GROUP;
    /// API version.
    const VERSION: &'static str = VERSION;
    /// `apiVersion` of an object.
    const API_VERSION: &'static str = "argoproj.io/v1alpha1";
    /// Namespaced or not.
    const SCOPE: Scope = Scope::Namespaced;
    /// Whether status is written through its own subresource. Where it is not, each status write raises the generation.
    const STATUS_SUBRESOURCE: bool = false;

    /// Name, labels and the rest.
    fn metadata(&self) -> &crate::ObjectMeta;
    /// Name, labels and the rest, to change.
    fn metadata_mut(&mut self) -> &mut crate::ObjectMeta;
}

/// Names a kind and writes it with `apiVersion` and `kind` in front.
macro_rules! kind {
    ($name:ident { $($const:ident = $value:expr,)+ } [$($field:ident),+]) => {
        impl $crate::kind::Kind for $name {
            const KIND: &'static str = stringify!($name);
            $(const $const: $crate::kind::ty!($const) = $value;)+

            fn metadata(&self) -> &$crate::ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut $crate::ObjectMeta {
                &mut self.metadata
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct as _;
                use $crate::kind::Kind as _;
                let fields = [$(stringify!($field),)+].len() + 2;
                let mut object = serializer.serialize_struct(Self::KIND, fields)?;
                object.serialize_field("apiVersion", Self::API_VERSION)?;
                object.serialize_field("kind", Self::KIND)?;
                $(object.serialize_field(stringify!($field), &self.$field)?;)+
                object.end()
            }
        }
    };
}

/// The type of each constant of [`Kind`], for the macro above.
macro_rules! ty {
    (SCOPE) => { $crate::kind::Scope };
    (STATUS_SUBRESOURCE) => { bool };
    ($other:ident) => { &'static str };
}

pub(crate) use {kind, ty};
