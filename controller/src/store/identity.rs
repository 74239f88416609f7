//! Who a controller is, and which of its lives this is.

use prost::Message as _;
use proto::agent::Holder;

use super::{Expected, Key, PutError, Record, Store, StoreError};

/// One life of a controller.
///
/// Agents obey the highest epoch of an identity, so each start must have one of its own before it says
/// a word to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// 16 random bytes that stay with the store.
    pub controller: [u8; 16],
    /// From 1; grows at every start.
    pub epoch: u64,
}

impl From<Incarnation> for Holder {
    fn from(incarnation: Incarnation) -> Self {
        Self { controller: incarnation.controller.to_vec().into(), epoch: incarnation.epoch }
    }
}

/// Why a controller could not begin a life.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes for a first identity.
    #[error("cannot choose an identity: {0}")]
    Random(getrandom::Error),
    /// What the store says about who this is makes no sense. Choosing another identity would let the
    /// faults of the first one run out unheard.
    #[error("the identity in the store is damaged; restore the store, or remove it to begin anew")]
    Damaged,
    /// Another controller began a life on the same store meanwhile.
    #[error("another controller started on the same store at the same time")]
    Raced,
}

/// Begins a life: the identity of the store, or a new one, with an epoch that no life before had. It is
/// durable when this returns.
///
/// # Errors
/// A store that fails, or whose identity makes no sense.
pub async fn incarnate(store: &dyn Store) -> Result<Incarnation, IdentityError> {
    let found = store.get(Key::identity()).await?;
    let (next, expected) = match &found {
        Some(record) => (successor(record)?, Expected::At(record.revision)),
        None => (first()?, Expected::Absent),
    };
    let value = Holder::from(next).encode_to_vec();
    match store.put(Key::identity(), expected, value).await {
        Ok(_) => Ok(next),
        Err(PutError::Conflict { .. } | PutError::Gone) => Err(IdentityError::Raced),
        Err(PutError::Store(error)) => Err(error.into()),
    }
}

fn first() -> Result<Incarnation, IdentityError> {
    let mut controller = [0; 16];
    getrandom::fill(&mut controller).map_err(IdentityError::Random)?;
    Ok(Incarnation { controller, epoch: 1 })
}

fn successor(record: &Record) -> Result<Incarnation, IdentityError> {
    let holder = Holder::decode(record.value.as_slice()).map_err(|_| IdentityError::Damaged)?;
    let controller = holder.controller.as_ref().try_into().map_err(|_| IdentityError::Damaged)?;
    let epoch = holder.epoch.checked_add(1).ok_or(IdentityError::Damaged)?;
    Ok(Incarnation { controller, epoch })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    #[tokio::test]
    async fn each_life_has_a_higher_epoch_of_the_same_identity() {
        let store = Memory::new();
        let lives = [incarnate(&store).await.unwrap(), incarnate(&store).await.unwrap()];
        assert_eq!(lives.map(|life| life.epoch), [1, 2]);
        assert_eq!(lives[0].controller, lives[1].controller);
        assert_ne!(incarnate(&Memory::new()).await.unwrap().controller, lives[0].controller);
    }

    #[tokio::test]
    async fn a_damaged_identity_is_told_and_left() {
        for damage in [vec![0xff], Holder { controller: vec![1].into(), epoch: 1 }.encode_to_vec()]
        {
            let store = Memory::new();
            store.put(Key::identity(), Expected::Any, damage.clone()).await.unwrap();
            assert!(matches!(incarnate(&store).await, Err(IdentityError::Damaged)));
            assert_eq!(store.get(Key::identity()).await.unwrap().unwrap().value, damage);
        }
    }
}
