//! Real clusters of Kubernetes, of two nodes each. Needs root, Go 1.24 or later and packages of Debian, and fails
//! without; the first time its components are built, which takes minutes.
//!
//! A case is a function that takes the [`site::Site`], and stands in one of the lists below. It makes a namespace of its
//! own ([`site::Site::space`]), which goes with it; what kills or stops something has it go on afterwards. A case that
//! fails keeps no other one from its turn: the next one has another cluster. `cargo test --test root_kubernetes NAME`
//! runs those with such a part in their names.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod agents;
mod api;
mod captures;
mod clocks;
mod disruptions;
mod experiments;
mod groups;
mod harness;
mod installation;
mod neighbours;
mod nodes;
mod objects;
mod pods;
mod rolling;
mod running;
mod seats;
mod selectors;
mod site;
mod surroundings;
mod tokens;
mod traffic;
mod web;

use std::process::ExitCode;

use harness::{Case, Ground};

/// Cases by what they stand on: `Ground::Own`, `Bare` or `Installed`.
macro_rules! cases {
    ($($ground:ident $module:ident::$name:ident,)*) => {
        vec![$(Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            ground: Ground::$ground($module::$name),
        }),*]
    };
}

fn main() -> ExitCode {
    // Most of what a case does is to wait: each list has a cluster of its own, and all go on at the same time. Those of
    // one ground stand together: to install takes half a minute.
    let lists = [
        cases![
            Installed captures::where_nothing_allows_them_nobody_has_packets,
            Installed groups::members_of_an_etcd_are_named_by_what_they_are_without_any_setting,
            Installed traffic::an_agent_asks_controllers_and_no_api_server,
            Installed neighbours::where_a_definition_is_older_nothing_is_done_by_halves,
            Installed neighbours::a_second_installation_keeps_no_objects_and_takes_nothing_from_the_first,
            Installed rolling::a_rolling_update_of_the_controllers_leaves_a_cut_as_it_is,
            Installed rolling::a_rolling_update_of_the_agents_ends_a_cut_everywhere_and_leaves_nothing,
            // The updates have allowed captures.
            Installed captures::packets_of_a_pod_are_had_by_whoever_may_and_once,
            // It takes the installation away.
            Installed installation::what_is_installed_by_one_manifest_leads_cuts_over_deaths_of_leaders_and_is_gone_with_it,
        ],
        cases![
            Bare experiments::experiments_are_objects_of_the_api_server,
            Bare objects::faults_are_objects_of_the_api_server,
        ],
        cases![
            Own nodes::a_lab_that_is_killed_leaves_nothing,
            Bare nodes::pods_of_two_nodes_reach_each_other,
            Bare selectors::pods_are_cut_by_their_names_and_a_cut_outlives_the_controller_that_leads,
            Bare api::a_real_api_server_is_understood,
            Bare pods::pods_are_cut_skewed_and_frozen_by_their_uid_whatever_their_containers_do,
        ],
    ];
    harness::run(&lists)
}
