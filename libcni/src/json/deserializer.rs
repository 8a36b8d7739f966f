//! Deserializes JSON values.

use std::fmt;
use std::iter::Enumerate;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde_json::Value;

use super::lookup;
use crate::{Code, Error, Result};

/// Deserializes a JSON value. The keys of structs match in any case, at every level.
///
/// Where serde buffers a value before it knows its type, this function does not learn the keys of
/// the type. The keys of a struct with `#[serde(flatten)]` would therefore silently match in one
/// case only, so such a struct is always an error. In `untagged` and internally tagged enums, keys
/// must match exactly.
///
/// ```
/// use libcni::json::from_value;
/// use serde_json::json;
///
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "camelCase", default)]
/// #[derive(Default)]
/// struct Config {
///     is_gateway: bool,
///     mtu: u32,
/// }
///
/// let config: Config = from_value(&json!({ "IsGateway": true, "mtu": null }))?;
/// assert!(config.is_gateway);
///
/// let error = from_value::<Config>(&json!({ "mtu": "big" })).err().unwrap();
/// assert_eq!(error.msg, r#"mtu: invalid type: string "big", expected u32"#);
/// # Ok::<(), libcni::Error>(())
/// ```
///
/// # Errors
///
/// [`Code::DECODE_FAILURE`], with the path of the key that has a wrong value, or of the struct with
/// `#[serde(flatten)]`.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T> {
    try_from_value(value).map_err(|misfit| Error::new(Code::DECODE_FAILURE, misfit.to_string()))
}

/// As [`from_value`]; the error has the path as a list.
pub(super) fn try_from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Misfit> {
    T::deserialize(Node(value))
}

/// A value of the wrong type, and its path: `ipam.ranges[0][1].subnet`. The deserializer adds the
/// steps from the last to the first.
#[derive(Debug)]
pub(super) struct Misfit(Box<(Vec<String>, serde_json::Error)>);

impl Misfit {
    /// Adds a step before the path.
    fn behind(mut self, step: &str) -> Misfit {
        self.0.0.push(step.to_owned());
        self
    }

    /// The first two keys of the path, or fewer if it has fewer.
    pub(super) fn keys(&self) -> Vec<String> {
        let steps = self.0.0.iter().rev().take_while(|step| !step.starts_with('['));
        steps.take(2).cloned().collect()
    }
}

impl From<serde_json::Error> for Misfit {
    fn from(error: serde_json::Error) -> Misfit {
        Misfit(Box::new((Vec::new(), error)))
    }
}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(what: T) -> Misfit {
        serde_json::Error::custom(what).into()
    }
}

impl std::error::Error for Misfit {}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, error) = &*self.0;
        for (at, step) in steps.iter().rev().enumerate() {
            let dot = if at == 0 || step.starts_with('[') { "" } else { "." };
            write!(f, "{dot}{step}")?;
        }
        let colon = if steps.is_empty() { "" } else { ": " };
        write!(f, "{colon}{error}")
    }
}

/// The deserializer of a value.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Value);

/// Calls `serde_json` for a type, which is correct for all types without structs inside.
macro_rules! as_serde_json {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            Ok(self.0.$method(visitor)?)
        }
    )*};
}

/// Chooses the type by the value.
macro_rules! as_found {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Misfit;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Object(object) => {
                let rest = fields.iter().filter_map(|field| Some((*field, lookup(object, field)?)));
                visitor.visit_map(Pairs { rest, key: BorrowedStrDeserializer::new, found: None })
            }
            // The visitor would read a list as the fields in their order of declaration.
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            other => Ok(other.deserialize_any(visitor)?),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Object(object) => {
                let rest = object.iter().map(|(key, value)| (key.as_str(), value));
                visitor.visit_map(Pairs { rest, key: MapKey, found: None })
            }
            Value::Array(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            other => Ok(other.deserialize_any(visitor)?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        Ok(self.0.deserialize_enum(name, variants, visitor)?)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        Ok(self.0.deserialize_unit_struct(name, visitor)?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_any(visitor)
    }

    as_found! { deserialize_seq deserialize_map }

    as_serde_json! {
        deserialize_bool deserialize_char deserialize_str deserialize_string
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_identifier deserialize_ignored_any
    }
}

/// Pairs of a key and a value: the fields of a struct that an object has, or all entries of an
/// object that becomes a map, whose keys are data and keep their case.
struct Pairs<'de, I, K> {
    rest: I,
    /// Makes the deserializer of a key.
    key: K,
    found: Option<(&'de str, &'de Value)>,
}

impl<'de, I, K, D> MapAccess<'de> for Pairs<'de, I, K>
where
    I: Iterator<Item = (&'de str, &'de Value)>,
    K: Fn(&'de str) -> D,
    D: Deserializer<'de, Error = Misfit>,
{
    type Error = Misfit;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        self.found = self.rest.next();
        self.found.map(|(key, _)| seed.deserialize((self.key)(key))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        let (key, value) = self.found.take().unwrap_or(("", &Value::Null));
        seed.deserialize(Node(value)).map_err(|misfit| misfit.behind(key))
    }
}

/// A key of a map. Only a struct with `#[serde(flatten)]`, which serde reads from a map, requests an
/// identifier.
struct MapKey<'de>(&'de str);

impl<'de> Deserializer<'de> for MapKey<'de> {
    type Error = Misfit;

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Misfit> {
        Err(de::Error::custom(
            "the type has #[serde(flatten)], by which keys would match in one case only: \
             write its fields out, or put them into a struct under a key of their own",
        ))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        BorrowedStrDeserializer::new(self.0).deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct ignored_any
    }
}

/// The items of a list.
struct Items<'de>(Enumerate<std::slice::Iter<'de, Value>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        let read = seed.deserialize(Node(item)).map(Some);
        read.map_err(|misfit| misfit.behind(&format!("[{index}]")))
    }
}
