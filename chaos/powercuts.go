package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"lonja/kit/bus"
)

// powerCuts cuts the power of a shop that is one process, under load, as often as
// the options say. A data folder lives through some of the cuts; then everything is
// checked, and the next ones are made in a new folder. With a relaxed --sync, orders that were acknowledged must be
// lost: that shows that the trial would find them.
func powerCuts(ctx context.Context, t *trial) {
	p := &powerTrial{trial: t}
	p.mustLose = t.options.sync != "" && t.options.sync != "always" && t.options.sync != "group"
	var err error
	if p.program, err = buildTool(ctx, filepath.Dir(t.dir), "powerfs"); !t.must(err) {
		return
	}
	for left := t.options.cuts; left > 0 && len(t.failures) == 0 && ctx.Err() == nil; {
		if p.lives > 0 && !t.must(p.startAfresh(ctx)) {
			return
		}
		p.lives++
		before := p.cuts
		if err := p.live(ctx, min(left, t.options.perLife)); err != nil {
			t.record("left out: no disk that can lose its power can be made here (%v)", err)
			return
		}
		left -= p.cuts - before
	}
	p.report()
}

// powerTrial is a trial whose data are on a disk that can lose its power.
type powerTrial struct {
	*trial
	program              string // powerfs
	disk                 *fuseDisk
	newcomers            *newcomers
	mustLose             bool
	lives                int
	cuts                 int
	kept                 int // acknowledged commands that were looked for and found
	people               int
	losses, lostCommands int // when something had to be lost: cuts after which the log was not whole, or lacked an acknowledged command
	recoveries           restarts
	recovering           int // power cuts while the shop recovered from the one before
	births               int // power cuts at the first start
	checked              map[*command]bool
}

// startAfresh replaces the shop, which is closed, by a new one.
func (p *powerTrial) startAfresh(ctx context.Context) error {
	p.shop.close()
	p.history = newHistory()
	return p.open(ctx)
}

// live cuts the power several times, and then checks everything. The error is that
// there can be no such disk.
func (p *powerTrial) live(ctx context.Context, cuts int) error {
	end, err := p.moveTo(func(at string) (func() error, error) {
		err := p.mount(at)
		if err == nil {
			err = p.cutAtBirth(ctx)
		}
		return func() error { return p.disk.unmount() }, err
	})
	if err != nil {
		return err
	}
	defer end()
	if len(p.failures) > 0 {
		return nil
	}
	if _, err := p.disk.command("sync"); !p.must(err) { // what was moved here
		return nil
	}
	p.checked = map[*command]bool{}
	if p.load.stockClients, err = newStockClients(ctx, p.load, p.options.seed); !p.must(err) {
		return nil
	}
	p.load.start(ctx, p.options.seed+uint64(p.lives))
	p.newcomers = welcome(ctx, p.load, fmt.Sprintf("newcomer-%d-", p.lives))
	lost := false
	for range cuts {
		if lost = !p.cutOnce(ctx); lost || len(p.failures) > 0 || ctx.Err() != nil {
			break
		}
	}
	p.newcomers.leave()
	p.load.wait()
	if !lost && len(p.failures) == 0 && ctx.Err() == nil {
		p.checkAll(ctx)
	}
	return nil
}

// mount mounts the disk, as it was left.
func (p *powerTrial) mount(at string) (err error) {
	p.disk, err = mountDisk(p.program, p.beneath(), at,
		"-sync-takes", "500us", "-seed", strconv.FormatUint(p.options.seed+uint64(p.cuts), 10), fmt.Sprintf("-strict=%t", p.options.strict))
	return err
}

// beneath is the folder that the disk shows.
func (p *powerTrial) beneath() string { return filepath.Join(p.dir, "beneath") }

// cutAtBirth cuts the power while a shop starts on an empty disk. It must start on
// what is left. Then the disk is empty again.
func (p *powerTrial) cutAtBirth(ctx context.Context) error {
	up := p.parts["up"]
	if _, err := up.launch(); err != nil {
		return err
	}
	pause(ctx, p.between(0, 1500*time.Millisecond))
	left, ok := p.cut()
	if !ok {
		return nil
	}
	offset := sizeOf(up.log)
	if err := errors.Join(up.start(), p.noAlarm(offset)); err != nil {
		p.fail("cut %d, at the first start, with %s: %v", p.cuts, left, err)
		return nil
	}
	fmt.Printf("      cut %d, at the first start: %s; ready after %v\n", p.cuts, left, up.toReady.Round(time.Millisecond))
	p.births++
	up.kill()
	return errors.Join(p.disk.unmount(), os.RemoveAll(p.beneath()), p.mount(p.data()))
}

// cutOnce lets the shop run for a moment, cuts its power, starts it on what is left,
// and looks for everything that was acknowledged. It reports whether it is all there;
// if not, that is recorded.
func (p *powerTrial) cutOnce(ctx context.Context) bool {
	pause(ctx, p.between(500*time.Millisecond, 2500*time.Millisecond))
	left, ok := p.cut()
	if !ok {
		return false
	}
	if p.rng.IntN(4) == 0 { // once more while it recovers
		if _, err := p.parts["up"].launch(); !p.must(err) {
			return false
		}
		pause(ctx, p.between(0, 400*time.Millisecond))
		again, ok := p.cut()
		if !ok {
			return false
		}
		left += ", then " + again
		p.recovering++
	}
	up := p.parts["up"]
	if p.mustLose {
		return p.findLoss(ctx, left)
	}
	offset := sizeOf(up.log)
	err := up.start()
	if err == nil {
		err = errors.Join(eventually(ctx, restTimeout, p.ready), p.noAlarm(offset))
	}
	var kept int
	if err == nil {
		kept, err = p.findAcknowledged(ctx)
	}
	if err != nil {
		p.fail("cut %d, with %s: %v", p.cuts, left, err)
		return false
	}
	p.recoveries = append(p.recoveries, up.toReady)
	fmt.Printf("      cut %d: %s; ready after %v, all of %d acknowledged commands there\n", p.cuts, left, up.toReady.Round(time.Millisecond), kept)
	return true
}

// findLoss starts the shop with a relaxed --sync on what a power cut left, and looks
// for what was acknowledged. The shop need not get ready: it may well find itself
// that its log has lost what a view knows. It reports whether nothing is lost.
func (p *powerTrial) findLoss(ctx context.Context, left string) bool {
	up := p.parts["up"]
	_, err := up.launch()
	if !p.must(err) {
		return false
	}
	_, err = p.findAcknowledged(ctx)
	if err == nil {
		return p.must(eventually(ctx, restTimeout, p.ready))
	}
	fmt.Printf("      cut %d: %s; %v\n", p.cuts, left, err)
	if p.losses++; errors.Is(err, errLost) {
		p.lostCommands++
	}
	return false
}

// errLost is what is wrong when something acknowledged is not there.
var errLost = errors.New("acknowledged, and lost")

// cut cuts the power, and gives the disk its power again. It returns what became of
// what was not synced.
func (p *powerTrial) cut() (left string, ok bool) {
	p.cuts++
	up := p.parts["up"]
	left, err := p.disk.command("cut")
	if !p.must(err) || !p.must(up.cmd.Process.Kill()) {
		return "", false
	}
	_, err = p.disk.command("fail") // the process cannot end while a call of it waits
	up.kill()
	return left, p.must(err) && p.must(p.disk.unmount()) && p.must(p.mount(p.data()))
}

// noAlarm returns an error if the shop says that its log or a view is not what it
// was.
func (p *powerTrial) noAlarm(offset int64) error {
	log, err := os.ReadFile(p.parts["up"].log)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(log[offset:]) {
		if bytes.Contains(line, []byte("level=ERROR")) || bytes.Contains(line, []byte("restore")) {
			return fmt.Errorf("the shop says: %s", bytes.TrimSpace(line))
		}
	}
	return nil
}

// findAcknowledged looks in the log for everything that was acknowledged and was not
// looked for before, and that all of it took effect.
func (p *powerTrial) findAcknowledged(ctx context.Context) (kept int, err error) {
	acknowledged := p.acknowledged()
	var log *eventLog
	err = eventually(ctx, restTimeout, func() (err error) { log, err = readLog(ctx, p.js); return err }) // it connects again first
	if err != nil {
		return 0, err
	}
	for c := range acknowledged {
		if !log.has(c) {
			return 0, fmt.Errorf("%s order %s, key %s: %w", c.kind, c.order, c.key, errLost)
		}
		p.checked[c.original] = true
	}
	people, err := p.newcomers.check(ctx)
	p.kept += len(acknowledged)
	p.people += people
	return len(acknowledged) + people, err
}

// acknowledgement is a command that was acknowledged, as it was then.
type acknowledgement struct {
	kind, key, order, id string
	original             *command
}

func (p *powerTrial) acknowledged() map[acknowledgement]bool {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	found := map[acknowledgement]bool{}
	for _, c := range p.history.commands {
		if c.result == ok && !p.checked[c] {
			found[acknowledgement{c.kind, c.key, c.order, c.commandID(), c}] = true
		}
	}
	return found
}

// has reports whether an acknowledged command took effect.
func (log *eventLog) has(c acknowledgement) bool {
	switch c.kind {
	case "place":
		effects := log.caused[c.id]
		return len(effects) == 1 && effects[0].data != nil && effects[0].data.EntityID() == c.order
	case "pay":
		return len(log.of(c.order, "payment.captured")) == 1
	default:
		return len(log.of(c.order, "order.cancelled")) == 1
	}
}

// checkAll checks all promises, as after any other fault, and that there is no dead
// letter.
func (p *powerTrial) checkAll(ctx context.Context) {
	figures := p.figures
	p.check(ctx)
	p.figures = figures
	letters, _, err := bus.NewDeadLetterQueue(p.js).List(ctx, 1, 1_000)
	if p.must(err) && len(letters) > 0 {
		p.fail("there are %d dead letters, such as %+v", len(letters), letters[0])
	}
	for _, problem := range p.history.problems {
		p.fail("%s", problem)
	}
}

func (p *powerTrial) report() {
	p.record("%d power cuts, %d of them at the first start and %d while the shop recovered, in %d data folders", p.cuts, p.births, p.recovering, p.lives)
	p.record("%d acknowledged orders, payments and cancellations and %d accounts there", p.kept, p.people)
	p.recoveries.report(p.trial, "starts after a cut")
	if !p.mustLose {
		return
	}
	p.record("with --sync %s, acknowledged commands were lost %d times, and the log could not be read %d times", p.options.sync, p.lostCommands, p.losses-p.lostCommands)
	if p.lostCommands == 0 {
		p.fail("nothing was lost with --sync %s: the trial is blind", p.options.sync)
	}
}
