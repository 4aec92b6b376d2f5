//! Closed sets of strings on the wire that still accept a value nobody knows yet.
//! An unknown value is kept and written back as it was read: it must never make an object undecodable.

/// Declares an enum over wire strings. `Unset` is the empty string and the default, `Unknown` keeps any other text.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($variants:tt)+ }) => {
        $crate::text::text_enum! { $(#[$meta])* $name or Unknown { $($variants)+ } }
    };
    // With another name for the last variant, where `Unknown` is itself a known text.
    ($(#[$meta:meta])* $name:ident or $rest:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            /// The empty string: not set yet.
            #[default]
            Unset,
            $(#[doc = concat!("On the wire `", $text, "`.")] $variant,)+
            /// A value that this version does not know, kept as it was read.
            $rest(String),
        }

        impl $name {
            /// Every known value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The text on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    Self::Unset => "",
                    $(Self::$variant => $text,)+
                    Self::$rest(text) => text,
                }
            }

            /// Whether it is the empty string.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.as_str().is_empty()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    "" => Self::Unset,
                    $($text => Self::$variant,)+
                    other => Self::$rest(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Ok(Self::from(text.as_ref()))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            // Argo Rollouts' CRDs carry no `enum` here, and an older controller may meet a newer value.
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

pub(crate) use text_enum;
