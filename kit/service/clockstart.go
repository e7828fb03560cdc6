package service

import (
	"context"
	"fmt"
	"time"
)

// rowsPatience is how long a clock waits at its start for rows that get no further. It is longer
// than a build takes to create its indexes.
const rowsPatience = 30 * time.Second

// rowsCheck is the time between two looks at how far the rows are, while a clock waits for them.
const rowsCheck = 500 * time.Millisecond

// awaitRows returns when the rows hold what the log held when the clock started. Rows that are far
// behind say of very many events that they are due, although what came of each is in the log
// already. To try each of them again would change nothing, and would cost a decision each, on
// entities that are not in memory.
//
// Rows that get no further must not keep what they know from happening. So after a while without
// progress, or if the view has failed, awaitRows returns with a warning.
func (c *clock) awaitRows(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	caughtUp := make(chan error, 1)
	ask := func() { caughtUp <- c.timer.View.CatchUp(ctx) }
	go ask()
	tick := time.NewTicker(min(rowsCheck, c.patience))
	defer tick.Stop()
	at, since := c.progress(), time.Now()
	for again := false; ; {
		select {
		case err := <-caughtUp:
			if err == nil || ctx.Err() != nil {
				return
			}
			if failed := c.timer.View.Failed(); failed != nil {
				c.warnLate(failed)
				return
			}
			again = true // the log did not answer
		case <-tick.C:
			if again {
				again = false
				go ask()
			}
		case <-ctx.Done():
			return
		}
		if now := c.progress(); now != at {
			at, since = now, time.Now()
		}
		if waited := time.Since(since); waited >= c.patience {
			c.warnLate(fmt.Errorf("for %s the rows have stayed at %s", waited.Round(time.Second), at))
			return
		}
	}
}

// progress returns how far the rows are, or those that are being built.
func (c *clock) progress() string {
	events, _ := c.timer.View.Building()
	return fmt.Sprintf("%v, and %d in a build", c.timer.View.Position(), events)
}

func (c *clock) warnLate(reason error) {
	c.Logger.Warn("a timer no longer waits for its rows to catch up with the log; it tries what they say is due, which may be over", "timer", c.timer.Name, "reason", reason)
}
