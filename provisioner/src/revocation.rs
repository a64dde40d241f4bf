//! AMD's revocation lists for the server's processor: what `--crl` names, else what AMD's service says, asked once a command.
//!
//! A list is judged where the server's evidence is, under the root of that evidence; whether there must be one is the
//! manifest's to say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use azure::Endpoints;
use azure::kds::{self, KdsError};
use evidence::Product;
use tokio::sync::Mutex;

use crate::failure::Failure;

/// Where lists come from.
#[derive(Debug)]
pub struct Lists {
    given: Vec<Vec<u8>>,
    endpoints: Endpoints,
    asked: Mutex<BTreeMap<Product, Answer>>,
}

/// What AMD's service said.
type Answer = Result<Vec<u8>, Arc<KdsError>>;

/// Why there is no list.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoList {
    /// AMD's service gave none.
    #[error("asking amd for the revocation list")]
    Kds(#[source] Arc<KdsError>),
    /// The server's certificates name no product.
    #[error("the server's certificates do not say whose revocation list is needed")]
    Product,
}

impl Lists {
    /// These files, or if there are none AMD's service.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(files: &[PathBuf], endpoints: Endpoints) -> Result<Self, Failure> {
        let read = |file: &PathBuf| {
            std::fs::read(file).map_err(|error| {
                Failure::of(format!("reading {}", file.display()), error, "check --crl")
            })
        };
        let given = files.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { given, endpoints, asked: Mutex::default() })
    }

    /// What there is for a product.
    ///
    /// # Errors
    /// AMD's service gives none.
    pub async fn of(&self, product: Option<Product>) -> Result<Vec<Vec<u8>>, NoList> {
        if !self.given.is_empty() {
            return Ok(self.given.clone());
        }
        let product = product.ok_or(NoList::Product)?;
        let mut asked = self.asked.lock().await;
        let answer = match asked.get(&product) {
            Some(answer) => answer.clone(),
            None => {
                let answer = kds::revocation_list(&self.endpoints, product).await;
                asked.entry(product).insert_entry(answer.map_err(Arc::new)).get().clone()
            }
        };
        answer.map(|list| vec![list]).map_err(NoList::Kds)
    }
}
