package projection

import (
	"time"

	"lonja/kit/eventlog"
)

const (
	// maxPause is the longest time for which a consumer gathers events.
	maxPause = 20 * time.Millisecond
	// pauseFactor is how many times as long as a commit took the next one may be held for
	// each further caller.
	pauseFactor = 2
)

// pace decides how long a consumer gathers events before it commits them. A transaction costs
// about as much as the rows of ten events, so many small ones would take much of a busy
// machine, while each one that waits delays whoever waits for its events.
//
// How much there is to gain shows in the last transaction. The events of one caller follow
// each other because each is an answer to the one before, so waiting for more would be in
// vain: the next event begins when this one is seen. The events of several callers come
// independently, and more of them will. So after a transaction with the events of n callers,
// the next one begins no earlier than 2(n-1) times its duration later: at once with one caller,
// a little later with a few, and at most maxPause later with many. On a busy machine
// transactions take longer, and so more is gathered. An idle view has nothing to wait for: the
// pause is over.
//
// A view that reports its changes to nobody has no reason to hurry even for one caller, so its
// transactions are maxPause apart.
//
// Somebody who waits for the rows in this process ends the pause early, but the view still
// spends no more than half of its time on transactions.
type pace struct {
	unreported bool          // the view has no Config.OnChange
	ended      time.Time     // when the last transaction ended
	took       time.Duration // how long it took
	callers    int           // whose events it held
}

// committed records a transaction.
func (p *pace) committed(began, ended time.Time, records []eventlog.Record) {
	p.ended, p.took, p.callers = ended, ended.Sub(began), callers(records)
}

// next returns the earliest time of the next transaction. awaited tells whether somebody waits
// for the rows.
func (p *pace) next(awaited bool) time.Time {
	pause := min(maxPause, time.Duration(max(0, p.callers-1))*pauseFactor*p.took)
	if p.unreported {
		pause = maxPause
	}
	if awaited {
		pause = min(pause, p.took)
	}
	return p.ended.Add(pause)
}

// enoughCallers is how many callers are told apart: with more, the pause hardly grows.
const enoughCallers = 32

// callers counts whose events these are: the events that follow from one request of a caller
// have its correlation id. It stops at enoughCallers.
func callers(records []eventlog.Record) int {
	var seen [enoughCallers]string
	n := 0
next:
	for i := range records {
		for _, id := range seen[:n] {
			if id == records[i].Correlation {
				continue next
			}
		}
		if seen[n], n = records[i].Correlation, n+1; n == enoughCallers {
			break
		}
	}
	return n
}
