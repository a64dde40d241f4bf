//! Which revocation lists are taken over, and what several of them mean together.

use forged_root::certificate::to_pem;
use forged_root::{Form, amd_cert_chain, amd_crl_numbered, amd_root_sha256, ark_der, ask_der};
use jiff::{SignedDuration, Timestamp};

use super::{NOW, Sample};
use crate::{
    Anchors, ListRefused, Product, Revocation, RevocationList, RevocationStatus, Sha256, Step,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn forged(product: Product) -> forged_root::Product {
    product.to_string().parse().unwrap()
}

fn anchors(products: &[Product]) -> Anchors {
    let roots = products.iter().map(|product| Sha256::new(amd_root_sha256(forged(*product))));
    Anchors::insecure(roots, Sha256::new([0; 32]))
}

fn list(number: Option<u64>, revoked: &[u64], from: Timestamp, until: Timestamp) -> Vec<u8> {
    amd_crl_numbered(forged(Product::Milan), number, revoked, from, until)
}

fn verify(der: &[u8]) -> Result<RevocationList, ListRefused> {
    let chain = amd_cert_chain(forged(Product::Milan));
    RevocationList::verify(&anchors(&Product::ALL), Product::Milan, &chain, der, NOW)
}

fn good() -> Vec<u8> {
    list(Some(7), &[], NOW - HOUR, NOW + HOUR)
}

#[test]
fn a_good_list_is_taken_over_also_when_it_has_run_out() {
    let good = good();
    let verified = verify(&good).unwrap();
    assert_eq!((verified.der(), verified.until()), (good.as_slice(), NOW + HOUR));
    verify(&list(None, &[1], NOW - HOUR - HOUR, NOW - HOUR)).unwrap();
}

#[test]
fn only_a_pinned_root_of_the_product_counts() {
    let of = |anchors: &Anchors, chain: &[Vec<u8>], now| {
        let chain: String = chain.iter().map(|der| to_pem(der)).collect();
        RevocationList::verify(anchors, Product::Milan, &chain, &good(), now).unwrap_err()
    };
    let (milan, genoa) = (ark_der(forged(Product::Milan)), ark_der(forged(Product::Genoa)));
    let all = anchors(&Product::ALL);
    let none = ListRefused::Root(Product::Milan);
    assert_eq!(of(&all, &[], NOW), none);
    assert_eq!(of(&all, &[vec![1]], NOW), none);
    assert_eq!(of(&all, &[ask_der(forged(Product::Milan))], NOW), none);
    assert_eq!(of(&all, std::slice::from_ref(&genoa), NOW), none);
    assert_eq!(of(&anchors(&[Product::Genoa]), &[milan.clone(), genoa], NOW), none);
    assert_eq!(
        of(&all, std::slice::from_ref(&milan), "2023-01-01T00:00:00Z".parse().unwrap()),
        none
    );
}

#[test]
fn a_list_that_is_not_what_the_root_signed_is_refused() {
    let found = |der: &[u8]| match verify(der) {
        Err(ListRefused::List { product: Product::Milan, found }) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(found(&[]), "one that cannot be read");
    assert_eq!(found(b"<html>"), "one that cannot be read");
    let genoa = amd_crl_numbered(forged(Product::Genoa), Some(7), &[], NOW - HOUR, NOW + HOUR);
    assert_eq!(found(&genoa), "one of another issuer");
    let mut longer = good();
    longer.push(0);
    assert_eq!(found(&longer), "one that cannot be read");
    // Every bit of the signed part and of the signature.
    let good = good();
    for at in 0..good.len() * 8 {
        let mut der = good.clone();
        der[at / 8] ^= 1 << (at % 8);
        assert!(verify(&der).is_err(), "bit {at}");
    }
}

#[test]
fn a_list_from_the_future_is_refused() {
    let early = verify(&list(Some(7), &[], NOW + SignedDuration::from_secs(1), NOW + HOUR));
    assert!(matches!(early, Err(ListRefused::Early { .. })), "{early:?}");
}

#[test]
fn an_older_list_does_not_take_the_place_of_a_newer_one() {
    let of = |number, from| verify(&list(number, &[], from, NOW + HOUR)).unwrap();
    let (then, now) = (NOW - HOUR, NOW);
    for (held, offered, older) in [
        (of(Some(7), then), of(Some(8), then), false),
        (of(Some(7), then), of(Some(7), then), false),
        (of(Some(7), then), of(Some(7), now), false),
        // The number decides, whatever the times say.
        (of(Some(7), now), of(Some(8), then), false),
        (of(Some(8), then), of(Some(7), now), true),
        (of(Some(7), now), of(Some(7), then), true),
        // Where one has none, the time does.
        (of(None, then), of(None, now), false),
        (of(None, now), of(None, then), true),
        (of(Some(7), now), of(None, then), true),
        (of(None, then), of(Some(1), now), false),
    ] {
        let answer = offered.replaces(&held);
        assert_eq!(answer.is_err(), older, "{held:?} {offered:?}");
        assert!(!older || matches!(answer, Err(ListRefused::Older { .. })));
    }
}

#[test]
fn a_list_that_revokes_nothing_hides_none_that_does() {
    let status = |revocation| {
        let mut sample = Sample::new(forged(Product::Milan), Form::Json);
        sample.policy.report.revocation = revocation;
        sample.verify().map(|verified| verified.hardware().revocation())
    };
    let over = list(Some(1), &[1], NOW - HOUR - HOUR, NOW - HOUR);
    let mut spoilt = good();
    *spoilt.last_mut().unwrap() ^= 1;
    for kind in [Revocation::Required, Revocation::IfPresent] {
        for lists in [[good(), over.clone()], [over.clone(), good()]] {
            let refusal = status(kind(lists.to_vec())).unwrap_err();
            assert_eq!(refusal.step, Step::Revocation);
            assert_eq!(refusal.found, "SEV-Milan, revoked");
        }
        // One that is spoilt or over does no harm to a good one.
        let none = list(Some(1), &[], NOW - HOUR - HOUR, NOW - HOUR);
        for lists in [vec![spoilt.clone(), good()], vec![none, good(), vec![1]]] {
            let in_force = RevocationStatus::NotRevoked { until: NOW + HOUR };
            assert_eq!(status(kind(lists)), Ok(in_force));
        }
    }
}
