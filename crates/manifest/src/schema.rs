//! The JSON Schema of a manifest, for editors that complete and explain it while it is written.
//!
//! It is made from the same types and comments as the manifest. It cannot say everything (that a name is one of a
//! workload, that an address fits a name), so an editor's silence proves nothing; [`Manifest::parse`] decides.

use evidence::{Product, TcbFloor};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::Manifest;

/// The schema as it stands beside the manifests.
#[must_use]
pub fn schema_text() -> String {
    // Indentation of its own making is the alternate form of a JSON value.
    format!("{:#}\n", schema())
}

/// The schema.
pub(crate) fn schema() -> serde_json::Value {
    SchemaGenerator::default().into_root_schema_for::<Manifest>().to_value()
}

macro_rules! stand_in {
    ($(#[$doc:meta])* $name:ident, $schema:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let schema: fn() -> Schema = || $schema;
                schema()
            }
        }
    };
}

stand_in!(
    /// 32 bytes in hex.
    Hex32,
    json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
);
stand_in!(
    /// 48 bytes in hex.
    Hex48,
    json_schema!({ "type": "string", "pattern": "^[0-9a-f]{96}$" })
);
stand_in!(
    /// A day.
    Day,
    json_schema!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" })
);
stand_in!(
    /// Which image.
    ImageText,
    json_schema!({ "type": "string", "pattern": "^(build|sha256:[0-9a-f]{64})$" })
);
stand_in!(
    /// Values by register.
    PcrTable,
    json_schema!({
        "type": "object",
        "patternProperties": {
            "^([0-9]|1[0-9]|2[0-3])$": {
                "type": "array",
                "items": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
                "minItems": 1,
                "uniqueItems": true,
            },
        },
        "additionalProperties": false,
    })
);
stand_in!(
    /// Floors by product.
    TcbTable,
    {
        let floors = Product::ALL.map(|product| (product.to_string(), floor(product)));
        json_schema!({
            "type": "object",
            "properties": serde_json::Value::Object(floors.into_iter().collect()),
            "additionalProperties": false,
            "minProperties": 1,
        })
    }
);

/// One floor: the components of [`TcbFloor`] that the product has, all of them required.
fn floor(product: Product) -> serde_json::Value {
    let fmc = match product {
        Product::Turin => Some(0),
        Product::Milan | Product::Genoa => None,
    };
    let components = serde_json::to_value(TcbFloor { fmc, ..TcbFloor::default() });
    let names: Vec<String> = match components {
        Ok(serde_json::Value::Object(components)) => {
            components.into_iter().map(|(k, _)| k).collect()
        }
        Ok(_) | Err(_) => Vec::new(),
    };
    let number = serde_json::json!({ "type": "integer", "minimum": 0, "maximum": 255 });
    let properties: serde_json::Map<_, _> =
        names.iter().map(|name| (name.clone(), number.clone())).collect();
    serde_json::json!({
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": false,
    })
}
