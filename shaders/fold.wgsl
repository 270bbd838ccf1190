// Index of an invocation in a dispatch whose groups were folded into two dimensions (src/plan/fold.rs).

fn folded(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return (group.y * groups.x + group.x) * 64u + local;
}
