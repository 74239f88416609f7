//! Runs in the world.

use serde_json::json;

use super::*;

impl World {
    /// What is heard of those who perform steps.
    pub(super) fn hear(&mut self) {
        while let Ok(tidings) = self.tidings.try_recv() {
            match tidings {
                Tidings::Begun(id, begun) => {
                    self.note(format_args!("  told: run {id}: {begun:?}"));
                    if let (Ok(()), Some(course)) = (begun, self.oracle.courses.all.get_mut(&id)) {
                        course.acknowledged = true;
                    }
                }
                Tidings::Performed(id, drive, step) => {
                    self.note(format_args!("  run {id}: {step} under {drive}"));
                    self.oracle.performed(id, drive, &step);
                }
                Tidings::Gone(id, how) => {
                    self.errands -= 1;
                    self.note(format_args!("  run {id}: {how:?}"));
                }
            }
        }
    }

    pub(super) fn begin_run(&mut self) {
        let (number, to) = self.aim();
        let lease = self.dice.millis(1_000, 4_000);
        let total = lease + self.dice.millis(0, 20_000);
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        let cut = json!({"from": sender(number), "to": to, "for": millis(total),
            "lease": millis(lease)});
        let (experiment, rollbacks) = errands::experiment(&self.dice, &cut);
        let id = IntentId::from_random(self.dice.number());
        self.note(format_args!("run {id} (no {number}) → {to} for {total:?}, back: {rollbacks:?}"));
        let asked = Asked::new(number, wire::Spec::default(), lease, total);
        self.oracle.of_runs.insert(number, asked);
        self.oracle.courses.add(id, rollbacks);
        let begin = errands::begin(id, &experiment);
        let life = self.dice.happens(40).then(|| self.dice.millis(0, 9_000));
        self.send(id, First::Begin(Box::new(begin)), life);
    }

    /// Somebody takes over a run that owes something.
    pub(super) async fn take_over_some(&mut self) {
        let owed = self.oracle.runs().await;
        let owed = owed.into_iter().filter(|run| run.phase() == wire::RunPhase::Owed);
        let owed: Vec<u64> = owed.map(|run| run.id).collect();
        if !owed.is_empty() {
            let id = IntentId::from_random(*self.dice.one_of(&owed));
            let life = self.dice.happens(40).then(|| self.dice.millis(0, 4_000));
            self.note(format_args!("take over run {id}"));
            self.send(id, First::TakeOver, life);
        }
    }

    /// Somebody ends a run.
    pub(super) fn end_some(&mut self) {
        let known: Vec<IntentId> = self.oracle.courses.all.keys().copied().collect();
        let Some(life) = self.office.life.as_ref().filter(|_| !known.is_empty()) else { return };
        let (id, runs, mut death) = (*self.dice.one_of(&known), life.runs.clone(), life.death());
        let ids = [id];
        self.note(format_args!("end run {id}"));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = death.wait_for(|dead| *dead) => (),
                // It may never have begun.
                _ = runs.end(&ids, "a simulation") => (),
            }
        });
    }

    fn send(&mut self, id: IntentId, first: First, life: Option<Duration>) {
        let Some(office) = &self.office.life else { return };
        let (runs, death) = (office.runs.clone(), office.death());
        let (drive, dice) = (self.oracle.courses.drive(), self.dice.fork());
        let errand = Errand { id, drive, dice, tell: self.tell.clone(), life };
        self.errands += 1;
        tokio::spawn(errand.go(runs, first, death));
    }

    /// All runs come to their end, and somebody plays what they owe.
    pub(super) async fn finish_runs(&mut self) {
        self.until("every command has ended", |world| world.errands == 0).await;
        let began = Instant::now();
        loop {
            let runs = self.oracle.runs().await;
            let on = |run: &&wire::Run| run.phase() != wire::RunPhase::Ended;
            let Some(run) = runs.iter().find(on) else { break };
            if began.elapsed() > PATIENCE * 5 {
                let told = format!("never: every run has ended: {run:?}");
                return self.oracle.demand(false, || told);
            }
            if run.phase() == wire::RunPhase::Owed {
                self.note(format_args!("finish run {}", IntentId::from_random(run.id)));
                self.send(IntentId::from_random(run.id), First::TakeOver, None);
                self.until("what is owed is played", |world| world.errands == 0).await;
            }
            self.pass(GLANCE).await;
        }
        let runs = self.oracle.runs().await;
        let lost: Vec<IntentId> = self
            .oracle
            .courses
            .all
            .iter()
            .filter(|(id, course)| {
                course.acknowledged && !runs.iter().any(|run| run.id == id.get())
            })
            .map(|(id, _)| *id)
            .collect();
        self.oracle.demand(lost.is_empty(), || format!("runs are lost: {lost:?}"));
    }
}
