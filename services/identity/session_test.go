package identity

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

const loginID = events.SessionID("lgn_1")

func loginToken(n int) string { return iss.formatRefreshToken(refreshToken{loginID, n}) }

// whole is Ana's session after a number of refreshes, the last of which knew IDENTITY up to a position.
func whole(refreshes int, position uint64) events.Login {
	return events.Login{SessionID: loginID, UserID: "usr_ana", TokenHash: hashToken(loginToken(refreshes)), Refreshes: refreshes,
		StartedAt: noon, ExpiresAt: noon.Add(sessionLife), Position: position, PasswordAt: 1}
}

func TestLogIn_RecordsAllThatIsTrueOfTheSession(t *testing.T) {
	who := authenticated{tokenHolder{issuer: iss, user: given(userType, ana), position: 17}}
	got, err := logIn(session{}, command.LogIn{}, who, decider.Meta{EntityID: string(loginID), Now: noon})
	then(t, got, err, events.LoginStarted{Login: whole(0, 17)}, "")
}

func TestRefresh_RecordsAllThatIsTrueOfTheSession(t *testing.T) {
	begun, once := events.LoginStarted{Login: whole(0, 17)}, events.LoginRefreshed{Login: whole(1, 20)}
	out := events.LoginEnded{Login: whole(1, 20), Reason: events.EndedByLogout}
	changed := given(userType, ana, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"})
	for name, c := range map[string]struct {
		given    []events.Event
		n        int
		position uint64
		at       time.Time
		then     events.Event
		code     errs.Code
		of       user
	}{
		"replaces the token":                    {[]events.Event{begun}, 0, 20, noon, once, "", user{}},
		"needs the last event only":             {[]events.Event{once}, 1, 21, noon, events.LoginRefreshed{Login: whole(2, 21)}, "", user{}},
		"never knows less":                      {[]events.Event{once}, 1, 3, noon, events.LoginRefreshed{Login: whole(2, 20)}, "", user{}},
		"with the token before changes nothing": {[]events.Event{once}, 0, 21, noon.Add(repeatable), nil, "", user{}},
		"the same later is a theft":             {[]events.Event{once}, 0, 21, noon.Add(repeatable + 1), events.LoginEnded{Login: whole(1, 20), Reason: events.EndedByReuse}, "", user{}},
		"is rejected after a logout":            {[]events.Event{out}, 1, 21, noon, nil, errs.Unauthenticated, user{}},
		"is rejected after thirty days":         {[]events.Event{once}, 1, 21, noon.Add(sessionLife), nil, errs.Unauthenticated, user{}},
		"is rejected with an older password":    {[]events.Event{once}, 1, 21, noon, nil, errs.Unauthenticated, changed},
		"is rejected once its events are gone":  {nil, 1, 21, noon, nil, errs.Unauthenticated, user{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := renewal{tokenHolder{issuer: iss, user: c.of, position: c.position}, refreshToken{loginID, c.n}}
			got, err := refresh(given(sessionType, c.given...), command.RefreshSession{RefreshToken: loginToken(c.n)}, r, decider.Meta{Now: c.at})
			then(t, got, err, c.then, c.code)
		})
	}
}

// Whichever of a session's first events are gone, the others lead to the same state, and the
// state to the same events.
func TestSession_FollowsFromAnyOfItsLastEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s session
		var log []eventlog.Record
		record := func(e events.Event) {
			r := eventlog.Record{Event: e, Stream: sessionsStream, Sequence: uint64(len(log) + 1)}
			r.Time = noon.Add(time.Duration(len(log)) * time.Minute)
			log, s = append(log, r), evolveSession(s, r)
		}
		record(events.LoginStarted{Login: whole(0, 17)})
		for n := range rapid.IntRange(0, 6).Draw(t, "refreshes") {
			record(s.refreshed(hashToken(loginToken(n+1)), rapid.Uint64Range(0, 99).Draw(t, "position")))
		}
		if rapid.Bool().Draw(t, "ends") {
			record(s.end(events.EndedByReuse))
		}
		var last session
		for _, r := range log[rapid.IntRange(0, len(log)-1).Draw(t, "gone"):] {
			last = evolveSession(last, r)
		}
		if last != s {
			t.Fatalf("it is %+v, and was %+v", last, s)
		}
	})
}

// As long as it is not known that every replica reads the stream of sessions, new ones are recorded
// as earlier versions do, and again once one of these is back.
func TestBeginnings_AreOnTheStreamOnceEveryReplicaReadsIt(t *testing.T) {
	introduced, failure := false, errors.New("no answer")
	b := beginnings{introduced: func(context.Context) (bool, error) { return introduced, failure }}
	for _, c := range []struct {
		introduced bool
		failure    error
		former     bool
	}{{true, failure, true}, {false, nil, true}, {true, nil, false}, {false, nil, true}, {true, nil, false}, {true, failure, true}} {
		introduced, failure = c.introduced, c.failure
		if err := b.check(t.Context()); !errors.Is(err, c.failure) {
			t.Errorf("%+v: %v", c, err)
		}
		b.checked = time.Now() // a login does not ask again so soon
		if got := b.former(t.Context()); got != c.former {
			t.Errorf("%+v: former %v", c, got)
		}
	}
	introduced, failure, b.checked = true, nil, time.Time{}
	if b.former(t.Context()) {
		t.Error("a login did not ask")
	}
}
