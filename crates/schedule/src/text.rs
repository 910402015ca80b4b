//! Options as text, for flags, TOML and the notes of pictures.

/// Serialises types as their text (`Display`) and reads them back from it (`FromStr`).
///
/// The crate that uses this macro must depend on `serde`.
#[macro_export]
macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as ::serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(::serde::de::Error::custom)
            }
        }
    )+};
}

/// Text of a `Copy` type whose values have plain names: `Display`, `FromStr` and serde, by a table `[(&str, Type); N]`
/// that names every value. An unknown name is answered with `what` it is and with the names.
///
/// The crate that uses this macro must depend on `serde`.
#[macro_export]
macro_rules! names_as_text {
    ($type:ty, $what:literal, $names:ident) => {
        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter) -> ::std::fmt::Result {
                f.write_str($names.iter().find(|(_, value)| value == self).map_or("", |(name, _)| name))
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = $names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
                found.ok_or_else(|| {
                    let names = $names.map(|(name, _)| name).join(", ");
                    format!("{} \"{text}\": use one of {names}", $what)
                })
            }
        }

        $crate::serde_as_text!($type);
    };
}
