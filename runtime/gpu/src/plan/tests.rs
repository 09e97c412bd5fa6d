use super::*;
use crate::cases;

const LIMITS: Limits = Limits { invocations: 1024, dot: true };

/// What is needed at the same time must not lie in the same place.
#[test]
fn edges_that_are_needed_at_the_same_time_do_not_overlap() {
    let mut shared = 0;
    for case in cases::all() {
        let lowered = Lowered::new(&case.model).unwrap();
        for picture in [[1, 1], [13, 9], [100, 37]] {
            let whole =
                |size: usize| (size + 2 * lowered.margin).next_multiple_of(lowered.pad_multiple.max(1));
            let geometry = Geometry { picture, inside: picture.map(whole) };
            let steps = steps(&lowered, false);
            let places = places(&lowered, &steps, geometry).unwrap();
            let range = |edge: usize| {
                let start = places.starts[edge];
                start..start + geometry.words(lowered.edges[edge]).unwrap()
            };
            let mut apart = 0;
            for (now, step) in steps.iter().enumerate() {
                for edge in step.writes.into_iter().flatten() {
                    apart += range(edge).len();
                    assert!(range(edge).end <= places.words);
                    // Edges that this step or a later one reads, or this one writes, too.
                    let written =
                        steps[..=now].iter().flat_map(|s| s.writes).flatten().filter(|&e| e != edge);
                    let needed = |&e: &usize| {
                        step.writes.contains(&Some(e)) || steps[now..].iter().any(|s| s.reads.contains(&e))
                    };
                    for other in written.filter(needed) {
                        let (a, b) = (range(edge), range(other));
                        assert!(a.end <= b.start || b.end <= a.start, "{}: {edge} and {other}", case.name);
                    }
                }
            }
            shared += usize::from(places.words < apart);
        }
    }
    assert!(shared > 30, "places are used again");
}

#[test]
fn pictures_that_cannot_be_are_refused() {
    let lowered = Lowered::new(&cases::all()[0].model).unwrap();
    let why = |width, height| match Plan::new(&lowered, (width, height), LIMITS) {
        Err(Error::Size { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(0, 5), "has no pixels");
    for (width, height) in
        [(65536, 4), (4, 65536), (60000, 60000), (usize::MAX, 1), (usize::MAX - 3, usize::MAX)]
    {
        assert_eq!(why(width, height), "is too large for the GPU in one piece");
    }
    assert!(Plan::new(&lowered, (300, 200), LIMITS).is_ok());
}

#[test]
fn workgroups_fit_the_least_that_devices_allow() {
    for case in cases::all() {
        let lowered = Lowered::new(&case.model).unwrap();
        for invocations in [128, 256, 1024] {
            let plan = Plan::new(&lowered, (320, 180), Limits { invocations, dot: true }).unwrap();
            for dispatch in plan.dispatches {
                let constants = &dispatch.kernel.constants;
                if matches!(dispatch.kernel.module, Module::Conv | Module::ConvDot | Module::ConvI16) {
                    let [lanes, groups, blocks] = [constants[0], constants[1], constants[2]];
                    assert!((lanes * groups * blocks) as usize <= invocations, "{}", case.name);
                    let (kernel, stage) = (constants[6], constants[8]);
                    let planes = if dispatch.kernel.module == Module::ConvI16 { 2 } else { 1 };
                    let tile =
                        (lanes + kernel - 1) * (groups * ROWS as i32 + kernel - 1) * stage * planes * 4;
                    assert!(tile <= 16 << 10, "{}: {tile} bytes of shared memory", case.name);
                }
            }
        }
    }
}
