//! Patches of the real image, and of images that cannot be patched.

use fault::{Clock, Clocks};

use super::vdso;
use crate::clock::block;
use crate::clock::image::{Function, Image, ImageError};
use crate::clock::parameters::Pace;
use crate::clock::patch::{Machine, Moved, Patch, PatchError, Redirected, Return, redirected};

fn moved(clocks: Clocks) -> Moved {
    Moved { clocks, boottime_ahead: 0, pace: Pace::Turns, back: Return::Slew }
}

fn image() -> Image {
    Image::parse(vdso::own().unwrap().1).unwrap()
}

/// The real image with other bytes somewhere.
fn altered(at: u32, bytes: &[u8]) -> Result<Image, ImageError> {
    let mut all = image().bytes().to_vec();
    all[at as usize..][..bytes.len()].copy_from_slice(bytes);
    Image::parse(all)
}

#[test]
fn only_entries_and_slack_change() {
    let image = image();
    for clocks in [Clocks::REALTIME, Clock::ALL.into_iter().collect()] {
        for pace in [Pace::Constant, Pace::Turns, Pace::Grows] {
            let patch = Patch::plan(&image, Moved { pace, ..moved(clocks) }).unwrap();
            let mut after = patch.apply(&image);
            assert!(patch.used().start >= image.slack().start);
            assert!(patch.used().end <= image.slack().end, "{:?}", patch.used());
            assert_eq!(patch.used().start % block::ALIGNMENT, 0);
            after[patch.used().start as usize..patch.used().end as usize].fill(0);
            for site in &patch.sites {
                let there = &mut after[site.entry as usize..][..site.jump.len()];
                assert_eq!(there, site.jump);
                there.copy_from_slice(&site.original);
                for (from, to) in &site.moved {
                    assert!(site.inside().contains(from));
                    assert!(patch.stub().contains(to));
                }
            }
            assert_eq!(after, image.bytes());
        }
    }
}

#[test]
fn only_the_functions_that_show_a_clock_are_entered() {
    let image = image();
    let functions = |clocks: Clocks| {
        let patch = Patch::plan(&image, moved(clocks)).unwrap();
        patch.sites.into_iter().map(|site| site.function).collect::<Vec<_>>()
    };
    assert_eq!(functions(Clocks::REALTIME), Function::ALL);
    let monotonic = [Clock::Monotonic].into_iter().collect();
    assert_eq!(functions(monotonic), [Function::ClockGettime]);
}

#[test]
fn a_patch_is_known_by_its_shape() {
    let image = image();
    let patch = Patch::plan(&image, moved(Clocks::REALTIME)).unwrap();
    let mut copy = patch.apply(&image);
    let found = redirected(&image, &copy).unwrap();
    let expected = patch.sites.iter().map(|site| Redirected {
        entry: site.entry,
        original: site.original.clone(),
        jump: site.jump.clone(),
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!(redirected(&image, image.bytes()), None);
    // Another byte anywhere, and it is not ours.
    copy[image.code().end as usize - 1] ^= 1;
    assert_eq!(redirected(&image, &copy), None);
    let mut elsewhere = image.bytes().to_vec();
    elsewhere[image.function(Function::Time).unwrap().start as usize] = 0xe9;
    assert_eq!(redirected(&image, &elsewhere), None);
}

#[test]
fn what_cannot_be_moved_is_refused() {
    let entry = image().function(Function::ClockGettime).unwrap().start;
    // jmp, a conditional jump, a call, a return, nonsense.
    let beginnings: [&[u8]; 5] =
        [&[0xeb, 0x10], &[0x55, 0x74, 0x10], &[0x55, 0xe8, 0, 0, 0, 0], &[0x55, 0xc3], &[0x06]];
    for beginning in beginnings {
        let image = altered(entry, beginning).unwrap();
        let planned = Patch::plan(&image, moved(Clocks::REALTIME));
        let function = Function::ClockGettime;
        assert!(
            matches!(planned, Err(PatchError::Unmovable { function: f, .. }) if f == function),
            "{beginning:x?}: {planned:?}"
        );
    }
}

#[test]
fn code_that_leads_into_a_beginning_is_refused() {
    let real = image();
    let entry = real.function(Function::ClockGettime).unwrap().start;
    let from = real.function(Function::Time).unwrap().start;
    // In place of time(): a jump to the entry, and to what follows it.
    for into in [entry, entry + 1] {
        let mut jump = vec![0xe9];
        jump.extend((i64::from(into) - i64::from(from) - 5).to_le_bytes()[..4].iter());
        let image = altered(from, &jump).unwrap();
        let monotonic = [Clock::Monotonic].into_iter().collect();
        assert_eq!(
            Patch::plan(&image, moved(monotonic)),
            Err(PatchError::Entered { function: Function::ClockGettime, from })
        );
    }
}

#[test]
fn an_image_without_room_is_refused() {
    let real = image();
    let slack = real.slack();
    assert_eq!(altered(slack.end - 1, &[1]), Err(ImageError::SlackInUse));
    // Without its last page, or what would be it.
    let length = slack.start as usize + 200;
    let image = Image::parse(real.bytes()[..length].to_vec()).unwrap();
    let planned = Patch::plan(&image, moved(Clocks::REALTIME));
    assert!(matches!(planned, Err(PatchError::NoRoom { there: 200, .. })), "{planned:?}");
}

#[test]
fn where_room_is_scarce_a_constant_distance_grows_by_nothing() {
    let real = image();
    let constant = Moved { pace: Pace::Constant, ..moved(Clocks::REALTIME) };
    assert_eq!(Patch::plan(&real, constant).unwrap().pace, Pace::Constant);
    // As much as Debian's 6.12 has.
    let length = real.slack().start as usize + 992;
    let image = Image::parse(real.bytes()[..length].to_vec()).unwrap();
    for pace in [Pace::Constant, Pace::Grows] {
        assert_eq!(Patch::plan(&image, Moved { pace, ..constant }).unwrap().pace, Pace::Grows);
    }
    let turns = Moved { pace: Pace::Turns, back: Return::Step, ..constant };
    assert_eq!(Patch::plan(&image, turns).unwrap().pace, Pace::Turns);
}

#[test]
fn a_build_says_which_it_is() {
    let real = image();
    assert_eq!(real.build_id().to_string().len(), 40);
    assert_eq!(altered(real.slack().start, &[0]).unwrap().build_id(), real.build_id());
}

#[test]
fn a_program_is_no_vdso() {
    let own = std::fs::read("/proc/self/exe").unwrap();
    assert_eq!(Image::parse(own), Err(ImageError::Clockless));
}

#[test]
fn on_another_processor_it_is_refused() {
    let planned = Patch::plan_for(Machine::Other, &image(), moved(Clocks::REALTIME));
    assert_eq!(planned, Err(PatchError::Architecture));
    assert!(PatchError::Architecture.to_string().contains("only on x86-64"));
    assert!(Patch::plan_for(Machine::HERE, &image(), moved(Clocks::REALTIME)).is_ok());
}
