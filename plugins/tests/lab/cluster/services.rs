//! Services, as the parts of a cluster that make them write their rules: by nf_tables and by IPVS.
