package identity

import (
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lonja/events"
	"lonja/events/claims"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/revocation"
	"lonja/shop/shoptest"
)

// Events that were recorded while no replica could react, as when identity is killed right
// after an append, still revoke tokens.
func TestRevoke_AlsoForEventsBeforeTheStart(t *testing.T) {
	shop := shoptest.Start(t)
	for _, e := range []events.Event{ana, boss, started} {
		shop.Record("IDENTITY", e) // at 1 to 3
	}
	bob := events.UserRegistered{UserID: "usr_bob", Name: "Bob", Email: "bob@example.com", PasswordHash: "hash", Roles: []string{events.Customer}}
	shop.Record("IDENTITY", bob)
	shop.Record("IDENTITY", ended(events.EndedByLogout))
	shop.Record("IDENTITY", events.UserRolesChanged{UserID: "usr_boss", Roles: []string{events.Customer}})
	shop.Record("IDENTITY", events.UserPasswordChanged{UserID: "usr_bob", PasswordHash: "other"})
	shop.Run(New(Config{AdminPassword: password, derive: quick}), "a", t.TempDir())

	list := revocation.New(shop.Conn)
	for user, at := range map[string]uint64{"usr_ana": 5, "usr_boss": 6, "usr_bob": 7} {
		for deadline := time.Now().Add(20 * time.Second); ; {
			err := list.Check(t.Context(), eventlog.Actor{ID: user, TokenPosition: at - 1})
			if errs.Is(err, errs.Unauthenticated) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("a token of %s from before %d: %v", user, at, err)
			}
		}
		if err := list.Check(t.Context(), eventlog.Actor{ID: user, TokenPosition: at}); err != nil {
			t.Errorf("a token of %s from %d: %v", user, at, err)
		}
	}
}

// A change between the load of a user and the session's event shows in the token that is
// signed for the event.
func TestTokenHolder_TokenShowsTheUserWhenItIsSigned(t *testing.T) {
	loaded := given(userType, boss)
	reply := func(now user) any {
		b := tokenHolder{issuer: iss, user: loaded, reload: func() (user, error) { return now, nil }}
		return b.Reply(given(sessionType, started), started)
	}
	dismissed := given(userType, boss, events.UserRolesChanged{UserID: "usr_boss", Roles: []string{events.Customer}})
	tokens, ok := reply(dismissed).(query.Tokens)
	if !ok || !slices.Equal(tokens.User.Roles, []string{events.Customer}) {
		t.Fatalf("replied %+v", tokens)
	}
	var c claims.Access
	if _, _, err := jwt.NewParser().ParseUnverified(tokens.AccessToken, &c); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Roles, []string{events.Customer}) || c.Position != 1 || !slices.Equal(c.Audience, []string{"lonja"}) {
		t.Errorf("claims %+v", c)
	}
	changed := given(userType, boss, events.UserPasswordChanged{UserID: "usr_boss", PasswordHash: boss.PasswordHash})
	if err, _ := reply(changed).(error); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("after a new password the reply is %v", err)
	}
}
