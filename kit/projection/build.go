package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"lonja/kit/errs"
)

// Built is what it took to make a file of the whole log.
type Built struct {
	Events uint64
	Took   time.Duration
	Bytes  int64 // of the file
}

// attempt is one building of a file, which many may wait for.
type attempt struct {
	over chan struct{}
	err  error
}

// buildError is one of a file that was not finished; the one that answers is
// none the worse for it.
type buildError struct{ error }

func (e *buildError) Unwrap() error { return e.error }

// Rebuild makes the rows anew out of the whole log while the view runs, and
// returns when they answer. Until then the old ones do. Whoever asks while a
// file is being built waits for that one. When ctx ends the building goes on.
func (v *View) Rebuild(ctx context.Context) error {
	a := v.ask()
	if a == nil {
		return errs.New(errs.Unavailable, "view %s has stopped", v.def.Name)
	}
	select {
	case <-a.over:
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Building is how many events a file that is being built holds so far; ok is
// false when none is.
func (v *View) Building() (facts uint64, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.building == nil {
		return 0, v.asked != nil
	}
	return v.building.facts.Load(), true
}

// Built is what the last building took, zero when there was none.
func (v *View) Built() Built {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.built
}

// ask has a file built, unless one is already; it is nil when the view has stopped.
func (v *View) ask() *attempt {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.asked == nil && !v.over {
		v.asked = &attempt{over: make(chan struct{})}
		v.wake()
	}
	return v.asked
}

func (v *View) asking() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked != nil
}

// conclude tells those who asked what became of it.
func (v *View) conclude(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.building = nil
	if v.asked != nil {
		v.asked.err = err
		close(v.asked.over)
		v.asked = nil
	}
}

// end tells those who still ask that the view has stopped.
func (v *View) end() {
	v.mu.Lock()
	v.over = true
	v.mu.Unlock()
	v.conclude(errs.New(errs.Unavailable, "view %s has stopped", v.def.Name))
}

// rebuild makes a file of the whole log beside the one that answers, which fed
// is feeding, unless it is nil; then it puts the new one in its place.
func (v *View) rebuild(ctx context.Context, fed *feeding) (err error) {
	v.ask()
	began, next := time.Now(), v.next()
	defer func() {
		if err != nil {
			err = &buildError{errors.Join(err, next.close(), remove(next.path))}
		}
		v.conclude(err)
	}()
	v.config.Logger.Info("a view is being built anew", "view", v.def.Name, "file", next.path)
	if err := next.begin(ctx); err != nil {
		return err
	}
	v.mu.Lock()
	v.building = next
	v.mu.Unlock()
	if err := v.catchUp(ctx, next, fed); err != nil {
		return err
	}
	opened, err := v.reopen(ctx, next)
	if err != nil {
		return err
	}
	v.swap(opened, Built{Events: next.facts.Load(), Took: time.Since(began), Bytes: opened.disk.Size()})
	return nil
}

// catchUp fills a file until it holds at least what the one that answers does,
// which is fed no more from then on.
func (v *View) catchUp(ctx context.Context, next *file, fed *feeding) error {
	if fed != nil {
		for i, old := range fed.file.feeds {
			next.feeds[i].told = old.reached.Load()
		}
	}
	filling := next.feed(ctx)
	defer filling.stop()
	for _, f := range next.feeds {
		if err := filling.wait(ctx, f.caughtUp); err != nil {
			return err
		}
	}
	if err := flush(next.path); err != nil { // most of it, while the old file is still fed
		return err
	}
	if fed != nil {
		fed.stop()
		for i, old := range fed.file.feeds {
			if err := v.reaches(ctx, filling, next.feeds[i], old.sequence); err != nil {
				return err
			}
			next.feeds[i].reach(old.reached.Load())
		}
	}
	filling.stop()
	return ctx.Err()
}

// wait waits for something about a file that is being fed.
func (fed *feeding) wait(ctx context.Context, until <-chan struct{}) error {
	select {
	case <-until:
		return nil
	case err := <-fed.ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reaches waits until a feed has brought a file so far.
func (v *View) reaches(ctx context.Context, filling *feeding, f *feed, seq uint64) error {
	for {
		moved := v.Changed()
		if f.reached.Load() >= seq {
			return nil
		}
		if err := filling.wait(ctx, moved); err != nil {
			return err
		}
	}
}

// reopen finishes a file that was built, and opens it as one that answers. The
// consumers that will feed it stand at its checkpoint from the start.
func (v *View) reopen(ctx context.Context, next *file) (*file, error) {
	if err := next.finish(ctx); err != nil {
		return nil, err
	}
	f := v.file(next.found)
	if err := openFile(ctx, f); err != nil {
		return nil, err
	}
	for i, feed := range f.feeds {
		feed.reach(next.feeds[i].reached.Load())
		if _, err := feed.stand(ctx, false); err != nil && ctx.Err() == nil {
			v.config.Logger.Warn("a view's consumer is not there yet", "view", v.def.Name, "stream", feed.source.Stream, "reason", err)
		}
	}
	f.sound = true
	return f, nil
}

// swap puts a file in the place of the one that answers.
func (v *View) swap(f *file, built Built) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.answers != nil {
		v.dropped = append(v.dropped, v.answers)
	}
	v.answers, v.building, v.built = f, nil, built
	v.moveAll()
	v.config.Logger.Info("a view was built anew", "view", v.def.Name, "facts", built.Events, "took", built.Took.Round(time.Millisecond), "bytes", built.Bytes)
}

// next is the file to build next.
func (v *View) next() *file {
	if _, last, err := v.folder.list(); err == nil {
		v.number = max(v.number, last)
	}
	v.number++
	hash := v.def.hash()
	return v.file(found{v.folder.path(v.def.Name, hash, v.number), hash, v.number})
}

func (v *View) file(at found) *file {
	return &file{found: at, def: &v.def, config: &v.config, current: at.hash == v.def.hash(), moved: v.hasMoved}
}

// remove removes what was being built.
func remove(path string) error {
	var failed []error
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// watch looks after the file that answers until ctx ends.
func (v *View) watch(ctx context.Context) {
	tick := time.NewTicker(v.config.Watch)
	defer tick.Stop()
	for ctx.Err() == nil {
		if f, err := v.acquire(); err == nil {
			v.lookAfter(ctx, f)
			f.using.Done()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// lookAfter notices that a file is not what it was. One that was deleted or
// replaced still answers, for it is still open; it does so until another is
// built. One that is damaged does not.
func (v *View) lookAfter(ctx context.Context, f *file) {
	// Only what is still the same file is checked: another one in its place, read
	// with this one's -wal beside it, would look damaged and hold its locks.
	disk, err := os.Stat(f.path)
	if !f.sound && err == nil && os.SameFile(disk, f.disk) {
		if wrong := check(ctx, f.path); damaged(wrong) {
			v.drop(f, wrong)
			return
		}
		f.sound = true
	}
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && !os.SameFile(disk, f.disk):
		v.config.Logger.Error("a view's file was deleted or replaced and is made anew", "view", v.def.Name, "file", f.path)
		v.ask()
	case err == nil && disk.Size() < f.disk.Size():
		v.drop(f, fmt.Errorf("%w: it was shortened to %d bytes", errDamaged, disk.Size()))
	case err == nil:
		f.disk = disk
		if err := f.shorten(ctx); damaged(err) {
			v.drop(f, err)
		}
	}
}
