package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Run feeds the view until ctx ends, and replaces its file whenever that is
// needed or asked for. It returns nil, or why the view had to stop before.
func (v *View) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { v.watch(ctx) })
	for wait := 50 * time.Millisecond; ctx.Err() == nil; {
		f := v.now()
		err := v.maintain(ctx, f)
		v.deadLetter()
		if err == nil || ctx.Err() != nil {
			wait = 50 * time.Millisecond
			continue
		}
		if final := v.heal(ctx, f, err); final {
			v.fail(fmt.Errorf("view %s, %w", v.def.Name, err))
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
	stop()
	beside.Wait()
	v.end()
	return v.Failed()
}

func (v *View) now() *file {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.answers
}

// maintain feeds the file that answers until it is replaced, or replaces at once
// what cannot be fed.
func (v *View) maintain(ctx context.Context, f *file) error {
	if f == nil || !f.current {
		return v.rebuild(ctx, nil)
	}
	fed := f.feed(ctx)
	defer fed.stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-fed.ended:
			return err
		case <-v.wanted:
			if v.now() != f {
				return nil
			}
			if v.asking() {
				return v.rebuild(ctx, fed)
			}
		}
	}
}

// heal does what can be done about an error. It reports that nothing can.
func (v *View) heal(ctx context.Context, f *file, err error) (final bool) {
	var wrong *bug
	var inBuild *buildError
	switch {
	case errors.Is(err, ErrLost):
		return true
	case errors.As(err, &inBuild):
		v.config.Logger.Error("a view was not built anew", "view", v.def.Name, "reason", err)
		return errors.As(err, &wrong) && (f == nil || !f.current)
	case errors.As(err, &wrong):
		// Rows that are not what was written can make a projection fail, too.
		unsound := check(ctx, f.path)
		if !damaged(unsound) {
			return true
		}
		err = errors.Join(err, unsound)
	}
	v.drop(f, err)
	return false
}

// deadLetter closes and removes the files that answer no more.
func (v *View) deadLetter() {
	v.mu.Lock()
	dropped, keep := v.dropped, ""
	v.dropped = nil
	if v.answers != nil {
		keep = v.answers.path
	}
	v.mu.Unlock()
	if len(dropped) == 0 {
		return
	}
	for _, f := range dropped {
		if err := f.close(); err != nil {
			v.config.Logger.Warn("a view's old file was not closed", "view", v.def.Name, "reason", err)
		}
	}
	if err := v.folder.clean(keep); err != nil {
		v.config.Logger.Warn("a view's old files were not removed", "view", v.def.Name, "reason", err)
	}
}
