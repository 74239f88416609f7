//! The tc programs of Schism: one per side, around [`agent_ebpf::decide`]; and one that tells who executes.
//!
//! For any other architecture than BPF this is an empty program, so that `cargo build` needs no
//! eBPF toolchain.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    feature(core_intrinsics),
    expect(internal_features, reason = "fetch_add")
)]
#![cfg_attr(target_arch = "bpf", expect(unsafe_code, reason = "helpers and maps of the kernel"))]

#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod skb;

#[cfg(target_arch = "bpf")]
mod programs {
    use agent_ebpf::{
        abi::Side,
        decide::{Outcome, decide},
    };
    use aya_ebpf::{
        bindings::TC_ACT_SHOT,
        helpers::{bpf_get_current_pid_tgid, bpf_redirect},
        macros::{classifier, raw_tracepoint},
        programs::{RawTracePointContext, TcContext},
    };

    use crate::{
        maps::{EXECS, Maps},
        skb::Skb,
    };

    /// The next program decides (uapi/linux/bpf.h, TCX_NEXT; TC_ACT_UNSPEC for clsact).
    const NEXT: i32 = -1;
    /// An interface index that no device has.
    const NOWHERE: u32 = 0x7fff_ffff;

    /// What the target receives.
    #[classifier]
    pub(crate) fn schism_ingress(context: TcContext) -> i32 {
        verdict(&context, Side::Ingress)
    }

    /// What the target sends.
    #[classifier]
    pub(crate) fn schism_egress(context: TcContext) -> i32 {
        verdict(&context, Side::Egress)
    }

    /// Who has executed a program, and so lost what was written into its vDSO. Where there is no room the
    /// agent finds it by a look.
    #[raw_tracepoint(tracepoint = "sched_process_exec")]
    pub(crate) fn schism_exec(_: RawTracePointContext) -> i32 {
        let process = (bpf_get_current_pid_tgid() >> 32) as u32;
        let _ = EXECS.output(process, 0);
        0
    }

    /// Loss is silent at both sides: SHOT at egress would show to the sender as ENOBUFS and as a
    /// smaller congestion window, a redirect to nowhere is a success for it.
    #[inline(always)]
    fn verdict(context: &TcContext, side: Side) -> i32 {
        match (decide(&Skb::new(context), &Maps, side), side) {
            (Outcome::Pass, Side::Ingress | Side::Egress) => NEXT,
            (Outcome::Lose, Side::Ingress) => TC_ACT_SHOT,
            // SAFETY: the helper takes numbers only.
            (Outcome::Lose, Side::Egress) => unsafe { bpf_redirect(NOWHERE, 0) as i32 },
        }
    }
}

/// The verifier proves that no program gets here.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// None of the helpers in use is for GPL programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";

/// Nothing: the programs are only built for BPF.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
