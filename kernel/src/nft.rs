//! stub
use crate::error::Result;
use crate::owner::Mac;
use ipnetwork::IpNetwork;
use std::net::IpAddr;
#[derive(Debug)]
pub(crate) struct Nft;
pub(crate) fn show_masquerade(_a: IpNetwork) -> String {
    String::new()
}
pub(crate) fn show_guard(_p: &str, _m: Mac) -> String {
    String::new()
}
impl Nft {
    pub(crate) fn open() -> Result<Nft> {
        Ok(Nft)
    }
    pub(crate) fn masquerade(&mut self, _t: &str, _a: IpNetwork) -> Result<bool> {
        Ok(true)
    }
    pub(crate) fn masquerade_diff(&mut self, _t: &str, _a: IpNetwork) -> Result<Vec<String>> {
        Ok(vec![])
    }
    pub(crate) fn unmasquerade(&mut self, _t: &str, _a: Option<&[IpAddr]>) -> Result<()> {
        Ok(())
    }
    pub(crate) fn guard(&mut self, _t: &str, _p: &str, _m: Mac) -> Result<bool> {
        Ok(true)
    }
    pub(crate) fn guard_diff(&mut self, _p: &str, _m: Mac) -> Result<Vec<String>> {
        Ok(vec![])
    }
    pub(crate) fn unguard(&mut self, _t: &str, _p: &str) -> Result<()> {
        Ok(())
    }
}
