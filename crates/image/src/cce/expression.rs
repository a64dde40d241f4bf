//! The two expressions of ARM templates that decide nothing by themselves: `[parameters('x')]` and `[variables('x')]`.
//!
//! ARM Resource Manager "Syntax and expressions in ARM templates". A text that begins with a bracket is an expression;
//! any other expression than these two is refused, wherever its value would be measured.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What names in a template stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By lower-case name; a parameter without a value is absent.
    parameters: BTreeMap<String, Value>,
    variables: BTreeMap<String, Value>,
}

/// Why a value cannot be known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// An expression that is not one of the two.
    #[error("expression {0:?} is not supported")]
    Unsupported(String),
    /// A parameter that has neither value nor default.
    #[error("parameter {0:?} has no value; give it in a parameters file")]
    NoValue(String),
    /// A value for something that the template does not declare.
    #[error("parameter {0:?} is not declared in the template")]
    Undeclared(String),
    /// A declaration or a file of another form.
    #[error("{0} is not of the form that is known here")]
    Form(&'static str),
}

impl Names {
    /// Reads a template's declarations, and a parameters file's values, which go before defaults.
    pub(super) fn new(
        template: &Map<String, Value>,
        file: Option<&Map<String, Value>>,
    ) -> Result<Self, ExpressionError> {
        let mut names = Self::default();
        let mut declared = Vec::new();
        for (name, declaration) in section(template, "parameters")? {
            let declaration = declaration.as_object();
            let declaration = declaration.ok_or(ExpressionError::Form("a parameter"))?;
            declared.push(name.to_lowercase());
            if let Some(default) = get(declaration, "defaultValue") {
                names.parameters.insert(name.to_lowercase(), default.clone());
            }
        }
        if let Some(file) = file {
            for (name, given) in section(file, "parameters")? {
                if !declared.contains(&name.to_lowercase()) {
                    return Err(ExpressionError::Undeclared(name.clone()));
                }
                let value = given.as_object().and_then(|given| get(given, "value"));
                let value = value.ok_or(ExpressionError::Form("a parameter of the file"))?;
                names.parameters.insert(name.to_lowercase(), value.clone());
            }
        }
        for (name, value) in section(template, "variables")? {
            names.variables.insert(name.to_lowercase(), value.clone());
        }
        Ok(names)
    }

    /// A value with its expression resolved. A variable may stand for a parameter; what that stands for may not be an
    /// expression again.
    pub(super) fn resolve<'a>(&'a self, value: &'a Value) -> Result<&'a Value, ExpressionError> {
        let Value::String(text) = value else { return Ok(value) };
        // The reference tool also replaces an expression inside a text, which the service does not.
        if !text.starts_with('[') {
            let inside = ["[parameters(", "[variables("].iter().any(|name| text.contains(name));
            let unsupported = || Err(ExpressionError::Unsupported(text.clone()));
            return if inside { unsupported() } else { Ok(value) };
        }
        let unsupported = |text: &str| ExpressionError::Unsupported(text.to_owned());
        let (kind, name) = reference(text).ok_or_else(|| unsupported(text))?;
        let mut found = self.lookup(kind, name)?;
        if let (Kind::Variable, Some(inner)) = (kind, found.as_str())
            && let Some((Kind::Parameter, name)) = reference(inner)
        {
            found = self.lookup(Kind::Parameter, name)?;
        }
        match found.as_str().filter(|inner| inner.contains('[')) {
            Some(inner) => Err(unsupported(inner)),
            None => Ok(found),
        }
    }

    fn lookup(&self, kind: Kind, name: &str) -> Result<&Value, ExpressionError> {
        let found = match kind {
            Kind::Parameter => self.parameters.get(&name.to_lowercase()),
            Kind::Variable => self.variables.get(&name.to_lowercase()),
        };
        found.ok_or_else(|| ExpressionError::NoValue(name.to_owned()))
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Parameter,
    Variable,
}

fn reference(text: &str) -> Option<(Kind, &str)> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let (function, rest) = inner.split_once('(')?;
    let kind = match function.trim().to_ascii_lowercase().as_str() {
        "parameters" => Kind::Parameter,
        "variables" => Kind::Variable,
        _ => return None,
    };
    let name = rest.strip_suffix(')')?.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let plain = |c: char| c.is_alphanumeric() || "_-".contains(c);
    (!name.is_empty() && name.chars().all(plain)).then_some((kind, name))
}

fn section<'a>(
    document: &'a Map<String, Value>,
    key: &'static str,
) -> Result<Vec<(&'a String, &'a Value)>, ExpressionError> {
    match get(document, key) {
        None => Ok(Vec::new()),
        Some(Value::Object(section)) => Ok(section.iter().collect()),
        Some(_) => Err(ExpressionError::Form(key)),
    }
}

/// A value by its key in any case, which Resource Manager does not tell apart; null is none.
pub(super) fn get<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let found = object.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}
