package audit

import (
	"time"

	"lonja/events"
	"lonja/kit/eventlog"
)

// clockError is how wrong the clock of a replica may be for the audit to judge by the times that it
// wrote.
const clockError = 2 * time.Hour

// checkLogin checks the next event of a session on the stream that removes events by their age.
// Each has all that is true of the session, so it is compared with the one before. One without
// any must be the first, or the first must be so old that it is removed.
func (m *model) checkLogin(r eventlog.Record, l events.Login) {
	before, known := m.logins[l.SessionID]
	m.logins[l.SessionID] = l
	id, s := compact(string(l.SessionID)), stepOf(r.Event)
	if !known && s != started && m.isRemoved(r.Stream, l.StartedAt) {
		m.sessions[id] = s
		return
	}
	m.sessions[id] = m.checkStep(r, m.sessions[id], s)
	// Whoever registered after the audit had read the accounts may log in before it reads this.
	if s != ended && r.Sequence <= m.cuts[r.Stream].effects {
		m.accounts.checkSession(m, r, l.UserID)
	}
	if s == started && l.Refreshes != 0 {
		m.violateAt(r, Transitions, "starts with %d refreshes", l.Refreshes)
	}
	if known {
		m.compareLogins(r, s, before, l)
	}
}

// compareLogins checks that an event changes of a session what its step may change.
func (m *model) compareLogins(r eventlog.Record, s step, before, l events.Login) {
	if s == refreshed {
		before.Refreshes, before.TokenHash, before.Position = before.Refreshes+1, l.TokenHash, max(before.Position, l.Position)
	}
	if before.StartedAt.Equal(l.StartedAt) && before.ExpiresAt.Equal(l.ExpiresAt) {
		before.StartedAt, before.ExpiresAt = l.StartedAt, l.ExpiresAt // one time may have several values
	}
	if before != l {
		m.violateAt(r, Transitions, "does not follow from the event before: another user, time, password, count of refreshes, position or token")
	}
}

// isRemoved reports whether a stream has removed by age what was recorded at a time.
func (m *model) isRemoved(stream string, at time.Time) bool {
	age := m.ages[stream]
	return age > 0 && m.now.Sub(at) > age-clockError
}
