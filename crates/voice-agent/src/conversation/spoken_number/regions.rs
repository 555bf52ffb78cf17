//! Countries as people name them.

use transfer_core::Region;

use super::tokens::{Token, says};

/// The country that a sentence names.
pub(super) fn named_region(tokens: &[Token]) -> Option<Region> {
    let (_, code) = NAMES.iter().find(|(words, _)| says(tokens, words))?;
    code.parse().ok()
}

/// "Us" alone is no country: "transfer us".
const NAMES: &[(&[&str], &str)] = &[
    (&["india"], "IN"),
    (&["indian"], "IN"),
    (&["uk"], "GB"),
    (&["u", "k"], "GB"),
    (&["united", "kingdom"], "GB"),
    (&["england"], "GB"),
    (&["scotland"], "GB"),
    (&["new", "south", "wales"], "AU"),
    (&["wales"], "GB"),
    (&["britain"], "GB"),
    (&["british"], "GB"),
    (&["english", "number"], "GB"),
    (&["united", "states"], "US"),
    (&["usa"], "US"),
    (&["u", "s"], "US"),
    (&["u", "s", "a"], "US"),
    (&["us", "number"], "US"),
    (&["us", "phone"], "US"),
    (&["in", "the", "us"], "US"),
    (&["the", "states"], "US"),
    (&["america"], "US"),
    (&["american"], "US"),
    (&["canada"], "CA"),
    (&["canadian"], "CA"),
    (&["australia"], "AU"),
    (&["australian"], "AU"),
    (&["ireland"], "IE"),
    (&["irish"], "IE"),
    (&["new", "zealand"], "NZ"),
    (&["singapore"], "SG"),
    (&["germany"], "DE"),
    (&["german"], "DE"),
    (&["austria"], "AT"),
    (&["austrian"], "AT"),
    (&["switzerland"], "CH"),
    (&["swiss"], "CH"),
    (&["france"], "FR"),
    (&["french"], "FR"),
    (&["spain"], "ES"),
    (&["spanish"], "ES"),
    (&["italy"], "IT"),
    (&["italian"], "IT"),
    (&["netherlands"], "NL"),
    (&["dutch"], "NL"),
    (&["belgium"], "BE"),
    (&["belgian"], "BE"),
    (&["south", "africa"], "ZA"),
    (&["south", "african"], "ZA"),
    (&["united", "arab", "emirates"], "AE"),
    (&["emirates"], "AE"),
    (&["uae"], "AE"),
    (&["u", "a", "e"], "AE"),
    (&["dubai"], "AE"),
    (&["japan"], "JP"),
    (&["japanese"], "JP"),
    (&["brazil"], "BR"),
    (&["brazilian"], "BR"),
    (&["mexico"], "MX"),
    (&["mexican"], "MX"),
    (&["nigeria"], "NG"),
    (&["kenya"], "KE"),
    (&["pakistan"], "PK"),
    (&["philippines"], "PH"),
];
