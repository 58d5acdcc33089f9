//! Which core serves which shard, and which one holds its copy: by arithmetic, for any number of
//! servers.
//!
//! A core is master of as many shards as every other, and their slaves are on different servers: when
//! one server dies, each of the others takes over about the same share of its load (N+1, and not one
//! idle server behind each busy one). Slave and master are never on one server.
//!
//! [`after`] says who serves what once servers have gone or come. It moves as little as it can: a
//! shard whose master is gone goes to its slave, which has its state; only where that leaves one
//! server with more than its share does a shard move that need not.

/// A core of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Its server.
    pub server: u16,
    /// Its number on the server.
    pub core: u16,
}

/// The two cores of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Serves it.
    pub master: Place,
    /// Holds its copy; none where one server is all there is.
    pub slave: Option<Place>,
}

/// Where the shards of `servers` with `cores` each are when all is well, `per_core` for each core:
/// the assignment of shard i in place i. The shards of a core follow each other.
pub fn initial(servers: u16, cores: u16, per_core: u16) -> Vec<Assignment> {
    let others = servers.saturating_sub(1);
    let mut shards = Vec::new();
    for server in 0..servers {
        for core in 0..cores {
            for turn in 0..per_core {
                // Cores begin at different servers, so that few shards a core spread as well.
                let number = u32::from(core) * u32::from(per_core) + u32::from(turn);
                let slave = (others > 0).then(|| Place {
                    server: (server + 1 + (number % u32::from(others)) as u16) % servers,
                    core,
                });
                shards.push(Assignment { master: Place { server, core }, slave });
            }
        }
    }
    shards
}

/// What [`after`] changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Shards whose slave becomes master: no state moves.
    pub takeovers: usize,
    /// Copies to be made from a master that goes on serving.
    pub copies: usize,
    /// Shards that nobody alive holds: they begin anew.
    pub lost: usize,
}

/// The assignment once only the servers in `alive` are there, and what it takes to come to it.
///
/// # Panics
/// When nobody is alive, or a server of the assignment is not in the list.
pub fn after(current: &[Assignment], alive: &[bool], cores: u16) -> (Vec<Assignment>, Moves) {
    assert!(alive.contains(&true), "a cluster of no servers serves nothing");
    let mut moves = Moves::default();
    let mut loads = Loads::new(alive);
    let is_up = |place: &Place| alive[usize::from(place.server)];
    let mut next: Vec<Assignment> = current
        .iter()
        .map(|shard| match (is_up(&shard.master), shard.slave.filter(is_up)) {
            (true, slave) => Assignment { slave, ..*shard },
            (false, Some(slave)) => {
                moves.takeovers += 1;
                Assignment { master: slave, slave: None }
            }
            (false, None) => {
                moves.lost += 1;
                let server = loads.least(&loads.masters, None).expect("somebody is alive");
                Assignment { master: Place { server, core: shard.master.core }, slave: None }
            }
        })
        .collect();
    next.iter().for_each(|shard| loads.count(shard));
    even_out(&mut next, &mut loads, &mut moves);
    for shard in next.iter_mut().filter(|shard| shard.slave.is_none()) {
        let server = loads.least(&loads.slaves, Some(shard.master.server));
        shard.slave = server.map(|server| Place { server, core: shard.master.core % cores });
        if let Some(slave) = shard.slave {
            loads.slaves[usize::from(slave.server)] += 1;
            moves.copies += 1;
        }
    }
    (next, moves)
}

/// Moves shards from servers with the most to those with the fewest until they differ by one at most.
fn even_out(shards: &mut [Assignment], loads: &mut Loads, moves: &mut Moves) {
    loop {
        let (Some(least), Some(most)) = (loads.least(&loads.masters, None), loads.most()) else {
            return;
        };
        if loads.masters[usize::from(most)] <= loads.masters[usize::from(least)] + 1 {
            return;
        }
        // One that is there as a copy changes hands at no cost.
        let of_most = |shard: &&mut Assignment| shard.master.server == most;
        let has_copy = |shard: &Assignment| shard.slave.is_some_and(|it| it.server == least);
        let ready = shards.iter().position(|it| it.master.server == most && has_copy(it));
        let shard = match ready {
            Some(at) => &mut shards[at],
            None => shards.iter_mut().find(of_most).expect("a server with shards has one"),
        };
        if has_copy(shard) {
            moves.takeovers += 1;
            let slave = shard.slave.expect("it has a copy");
            loads.slaves[usize::from(least)] -= 1;
            loads.slaves[usize::from(most)] += 1;
            (shard.master, shard.slave) = (slave, Some(shard.master));
        } else {
            moves.copies += 1;
            shard.master.server = least;
        }
        loads.masters[usize::from(most)] -= 1;
        loads.masters[usize::from(least)] += 1;
    }
}

/// Shards per server.
struct Loads<'a> {
    alive: &'a [bool],
    masters: Vec<usize>,
    slaves: Vec<usize>,
}

impl<'a> Loads<'a> {
    fn new(alive: &'a [bool]) -> Loads<'a> {
        Loads { alive, masters: vec![0; alive.len()], slaves: vec![0; alive.len()] }
    }

    fn count(&mut self, shard: &Assignment) {
        self.masters[usize::from(shard.master.server)] += 1;
        if let Some(slave) = shard.slave {
            self.slaves[usize::from(slave.server)] += 1;
        }
    }

    fn alive(&self) -> impl Iterator<Item = u16> + use<'_> {
        (0u16..).zip(self.alive).filter(|&(_, &alive)| alive).map(|(server, _)| server)
    }

    fn least(&self, of: &[usize], but: Option<u16>) -> Option<u16> {
        let others = self.alive().filter(|&server| Some(server) != but);
        others.min_by_key(|&server| of[usize::from(server)])
    }

    fn most(&self) -> Option<u16> {
        self.alive().max_by_key(|&server| self.masters[usize::from(server)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masters(shards: &[Assignment], servers: u16) -> Vec<usize> {
        let of = |server| shards.iter().filter(|shard| shard.master.server == server).count();
        (0..servers).map(of).collect()
    }

    fn spread(counts: impl IntoIterator<Item = usize>) -> usize {
        let counts: Vec<usize> = counts.into_iter().collect();
        counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0)
    }

    proptest! {
        #[test]
        fn a_dead_servers_load_is_spread_over_all_others(
            servers in 2u16..20, cores in 1u16..9, dead: prop::sample::Index,
        ) {
            let shards = initial(servers, cores, servers - 1);
            let dead = dead.index(usize::from(servers)) as u16;
            let taken = |server: u16| {
                let is_its = |it: &&Assignment| it.slave.is_some_and(|it| it.server == server);
                shards.iter().filter(|it| it.master.server == dead).filter(is_its).count()
            };
            prop_assert_eq!(taken(dead), 0);
            prop_assert_eq!(spread((0..servers).filter(|&it| it != dead).map(taken)), 0);
        }

        #[test]
        fn few_shards_a_core_spread_over_its_servers_cores(
            servers in 2u16..20, cores in 1u16..41, per_core in 1u16..5,
        ) {
            let shards = initial(servers, cores, per_core);
            prop_assert_eq!(shards.len(), usize::from(servers * cores * per_core));
            let taken = |server: u16| {
                let is_its = |it: &&Assignment| it.slave.is_some_and(|it| it.server == server);
                shards.iter().filter(|it| it.master.server == 0).filter(is_its).count()
            };
            prop_assert!(spread((1..servers).map(taken)) <= 1);
        }

        /// Whatever comes and goes: two servers for every shard, loads even, nothing moved in vain.
        #[test]
        fn servers_come_and_go(
            servers in 2u16..9, cores in 1u16..4,
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..12),
        ) {
            let mut shards = initial(servers, cores, servers - 1);
            let mut alive = vec![true; usize::from(servers)];
            for (which, up) in steps {
                let which = which.index(alive.len());
                let before = alive.clone();
                alive[which] = up;
                if !alive.contains(&true) {
                    alive[which] = true;
                }
                let (next, moves) = after(&shards, &alive, cores);
                let there = alive.iter().filter(|&&up| up).count();
                for shard in &next {
                    prop_assert!(alive[usize::from(shard.master.server)]);
                    prop_assert_eq!(shard.slave.is_some(), there > 1);
                    prop_assert!(shard.slave.is_none_or(|it| it.server != shard.master.server));
                    prop_assert!(shard.slave.is_none_or(|it| alive[usize::from(it.server)]));
                }
                let loads = masters(&next, servers);
                let of_alive = loads.iter().zip(&alive).filter(|(_, up)| **up);
                prop_assert!(spread(of_alive.map(|(&load, _)| load)) <= 1);
                prop_assert_eq!(moves.lost, 0, "one at a time loses nothing");
                if before == alive {
                    prop_assert_eq!((&next, moves), (&shards, Moves::default()));
                }
                // Masters that moved though their server was there: no more than were too many.
                let moved = shards.iter().zip(&next).filter(|(old, new)| {
                    alive[usize::from(old.master.server)] && old.master != new.master
                });
                let gone = before.iter().zip(&alive).any(|(was, is)| *was && !*is);
                let share = next.len().div_ceil(there);
                let limit = if gone { 2 * share } else { share };
                prop_assert!(moved.count() <= limit, "{moves:?}");
                shards = next;
            }
        }
    }

    #[test]
    fn two_servers_take_over_from_each_other() {
        let shards = initial(2, 1, 1);
        let (next, moves) = after(&shards, &[false, true], 1);
        assert_eq!(moves, Moves { takeovers: 1, ..Moves::default() });
        assert!(next.iter().all(|shard| shard.master.server == 1 && shard.slave.is_none()));
        let (back, moves) = after(&next, &[true, true], 1);
        assert_eq!(masters(&back, 2), [1, 1]);
        assert_eq!((moves.lost, moves.copies), (0, 3), "{moves:?}");
    }
}
