package audit

import (
	"testing"
	"time"

	"lonja/events"
)

// login returns Ana's session after a number of refreshes. It began a minute ago.
func login(refreshes int) events.Login { return loginSince(refreshes, time.Minute) }

var loginNow = time.Now().UTC().Truncate(time.Microsecond)

func loginSince(refreshes int, age time.Duration) events.Login {
	began := loginNow.Add(-age)
	return events.Login{SessionID: "lgn_1", UserID: "usr_ana", TokenHash: "SECRET", Refreshes: refreshes,
		StartedAt: began, ExpiresAt: began.Add(30 * 24 * time.Hour), Position: 2, PasswordAt: 2}
}

// A session whose first event has reached the age of its stream begins with a later one.
func TestLogins_MayBeginLateOnceTheirFirstEventIsGone(t *testing.T) {
	s := newFixture(t)
	s.record(withAna...)
	s.record(events.LoginRefreshed{Login: loginSince(7, 31*24*time.Hour)}, events.LoginRefreshed{Login: loginSince(8, 31*24*time.Hour)},
		events.LoginEnded{Login: loginSince(8, 31*24*time.Hour), Reason: events.EndedByLogout})
	s.acknowledge(s.everyReaction()...)
	want(t, s.audit(true, ""))
}

func TestLogins_AreComparedWithTheEventBefore(t *testing.T) {
	s := newFixture(t)
	s.record(withAna...)
	other := login(1)
	other.UserID, other.PasswordAt = "usr_bob", 9
	s.record(events.LoginStarted{Login: login(0)}, events.LoginRefreshed{Login: login(1)}, events.LoginEnded{Login: other, Reason: events.EndedByReuse},
		events.LoginRefreshed{Login: login(2)})
	want(t, s.audit(false, ""),
		"transitions: SESSIONS:3 login lgn_1: does not follow from the event before: another user, time, password, count of refreshes, position or token",
		"transitions: SESSIONS:4 login lgn_1: refreshed after ended; expected after started or refreshed",
		"transitions: SESSIONS:4 login lgn_1: does not follow from the event before: another user, time, password, count of refreshes, position or token")
}
