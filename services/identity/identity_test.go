package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"lonja/events"
	"lonja/events/claims"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

const password = "correct horse battery"

// quick replaces Argon2id where its slowness proves nothing.
func quick(password, salt []byte, _, _ uint32, _ uint8, _ uint32) []byte {
	return issuer{secret: salt}.mac("test", string(password))
}

func actor(t query.Tokens) eventlog.Actor {
	return eventlog.Actor{ID: string(t.User.ID), Roles: t.User.Roles}
}

// verify reads an access token as a gateway does, with nothing but a key set.
func verify(t *testing.T, keys query.Keyset, access string) (claims.Access, error) {
	t.Helper()
	var c claims.Access
	_, err := jwt.ParseWithClaims(access, &c, func(token *jwt.Token) (any, error) {
		for _, k := range keys.Keys {
			if k.KeyID == token.Header["kid"] && k.KeyType == "OKP" && k.Curve == "Ed25519" && k.Algorithm == "EdDSA" && k.Use == "sig" {
				x, err := base64.RawURLEncoding.DecodeString(k.X)
				return ed25519.PublicKey(x), err
			}
		}
		return nil, errors.New("no such key")
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer("lonja"), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	return c, err
}

func mustVerify(t *testing.T, keys query.Keyset, tokens query.Tokens) {
	t.Helper()
	c, err := verify(t, keys, tokens.AccessToken)
	if err != nil || c.Subject != string(tokens.User.ID) || !slices.Equal(c.Roles, tokens.User.Roles) {
		t.Fatalf("claims %+v, %v", c, err)
	}
	if life := c.ExpiresAt.Sub(c.IssuedAt.Time); life != accessLife || tokens.ExpiresIn != 600 || tokens.TokenType != "Bearer" {
		t.Fatalf("valid for %v, but the answer has %d %s", life, tokens.ExpiresIn, tokens.TokenType)
	}
}

func TestAccount_FromRegistrationToLogout(t *testing.T) {
	shop := shoptest.Start(t, New(Config{AdminPassword: password}))
	nobody := eventlog.Actor{}

	// Ana registers; nobody else can, with her address.
	var registered query.UserView
	shop.Do(command.RegisterUser{Name: "Ana", Email: " Ana@Example.com", Password: password}, nobody, &registered)
	if registered.Email != "ana@example.com" || registered.Name != "Ana" || !slices.Equal(registered.Roles, []string{events.Customer}) {
		t.Fatalf("registered %+v", registered)
	}
	shop.Fails(command.RegisterUser{Name: "Eve", Email: "ana@example.com", Password: password}, nobody, errs.Conflict)

	// She logs in; with another password nobody does.
	shop.Fails(command.LogIn{Email: "ana@example.com", Password: password + "?"}, nobody, errs.Unauthenticated)
	var first query.Tokens
	shop.Do(command.LogIn{Email: "ANA@example.com", Password: password}, nobody, &first)
	var keys query.Keyset
	shop.Get(query.Keys{}, nobody, "", &keys)
	mustVerify(t, keys, first)

	// The administrator makes her staff; her next access token shows it.
	var admin query.Tokens
	shop.Do(command.LogIn{Email: "admin@lonja.local", Password: password}, nobody, &admin)
	toStaff := command.SetRoles{UserID: registered.ID, Roles: []string{events.Staff, events.Customer}}
	shop.Fails(toStaff, actor(first), errs.Forbidden)
	var staff query.UserView
	changed := shop.Do(toStaff, actor(admin), &staff)
	var second query.Tokens
	shop.Do(command.RefreshSession{RefreshToken: first.RefreshToken}, nobody, &second)
	mustVerify(t, keys, second)
	if !slices.Equal(second.User.Roles, []string{events.Customer, events.Staff}) || !slices.Equal(staff.Roles, second.User.Roles) {
		t.Fatalf("roles %v", second.User.Roles)
	}
	var listed query.List[query.UserView]
	shop.Get(query.Users{Email: "Ana@example.com"}, actor(admin), changed.Position, &listed)
	if listed.Meta.Total != 1 || !slices.Equal(listed.Data[0].Roles, second.User.Roles) {
		t.Fatalf("listed %+v", listed)
	}

	// The first refresh token is sent again, as if its answer had been lost. Once the
	// successor was used, it counts as stolen, and the session ends.
	var repeated, later query.Tokens
	shop.Do(command.RefreshSession{RefreshToken: first.RefreshToken}, nobody, &repeated)
	if repeated.RefreshToken != second.RefreshToken || repeated.AccessToken != second.AccessToken {
		t.Fatalf("once %+v, twice %+v", second, repeated)
	}
	shop.Do(command.RefreshSession{RefreshToken: second.RefreshToken}, nobody, &later)
	shop.Fails(command.RefreshSession{RefreshToken: first.RefreshToken}, nobody, errs.Unauthenticated)
	shop.Fails(command.RefreshSession{RefreshToken: later.RefreshToken}, nobody, errs.Unauthenticated)
	reuse := shoptest.Await(shop, func(e events.LoginEnded) bool { return e.UserID == registered.ID })
	if reuse.Reason != events.EndedByReuse {
		t.Fatalf("ended by %s", reuse.Reason)
	}

	// She logs in again, and out twice.
	var third query.Tokens
	shop.Do(command.LogIn{Email: "ana@example.com", Password: password}, nobody, &third)
	shop.Do(command.LogOut{RefreshToken: third.RefreshToken}, nobody, nil)
	shop.Do(command.LogOut{RefreshToken: third.RefreshToken}, nobody, nil)
	shop.Fails(command.RefreshSession{RefreshToken: third.RefreshToken}, nobody, errs.Unauthenticated)
	shop.Fails(command.LogOut{RefreshToken: "ses_1.0.forged"}, nobody, errs.Unauthenticated)
}

func TestRefresh_TwoAtOnceHaveOneSuccessor(t *testing.T) {
	shop := shoptest.Start(t, New(Config{AdminPassword: password, derive: quick}))
	shop.Run(New(Config{AdminPassword: password, derive: quick}), "b", t.TempDir())
	var tokens query.Tokens
	for trial := range 15 {
		shop.Do(command.LogIn{Email: "admin@lonja.local", Password: password}, eventlog.Actor{}, &tokens)
		var both [2]query.Tokens
		var at sync.WaitGroup
		for i := range both {
			at.Go(func() {
				reply, err := shop.Send(t.Context(), command.RefreshSession{RefreshToken: tokens.RefreshToken}, eventlog.Envelope{})
				if err != nil {
					t.Errorf("trial %d: %v", trial, err)
					return
				}
				if err := json.Unmarshal(reply.Body, &both[i]); err != nil {
					t.Error(err)
				}
			})
		}
		at.Wait()
		if both[0].RefreshToken != both[1].RefreshToken || both[0].AccessToken != both[1].AccessToken || both[0].RefreshToken == tokens.RefreshToken {
			t.Fatalf("trial %d: two successors\n%+v\n%+v", trial, both[0], both[1])
		}
		shop.Do(command.RefreshSession{RefreshToken: both[0].RefreshToken}, eventlog.Actor{}, nil)
	}
}

func TestLogIn_AnyRegisteredPassword(t *testing.T) {
	shop := shoptest.Start(t, New(Config{AdminPassword: password, derive: quick}))
	for i, odd := range []string{"        ", "tab\tand\x01bell\a", "contraseña", strings.Repeat("ñ", 500)} {
		email := fmt.Sprintf("ana%d@example.com", i)
		shop.Do(command.RegisterUser{Name: "Ana", Email: email, Password: odd}, eventlog.Actor{}, nil)
		var tokens query.Tokens
		shop.Do(command.LogIn{Email: email, Password: odd}, eventlog.Actor{}, &tokens)
		if tokens.User.Email != email {
			t.Errorf("%q logged %s in", odd, tokens.User.Email)
		}
	}
	shop.Fails(command.LogIn{Email: "ana0@example.com", Password: strings.Repeat("n", 1001)}, eventlog.Actor{}, errs.Invalid)
}

func TestQueries_UsersSeeThemselvesAdministratorsAll(t *testing.T) {
	shop := shoptest.Start(t, New(Config{AdminPassword: password, derive: quick}))
	var ana, bob query.UserView
	shop.Do(command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password}, eventlog.Actor{}, &ana)
	at := shop.Do(command.RegisterUser{Name: "Bob", Email: "bob@example.com", Password: password}, eventlog.Actor{}, &bob).Position
	asAna := eventlog.Actor{ID: string(ana.ID), Roles: ana.Roles}
	// The roles in a token do not count here: the log shows that ana is no administrator.
	asStaff := eventlog.Actor{ID: string(ana.ID), Roles: []string{events.Staff, events.Admin}}
	var admin query.Tokens
	shop.Do(command.LogIn{Email: "admin@lonja.local", Password: password}, eventlog.Actor{}, &admin)
	asBoss, asNobody := actor(admin), eventlog.Actor{}

	var seen query.UserView
	shop.Get(query.User{UserID: ana.ID}, asAna, at, &seen)
	if seen.Name != "Ana" || seen.Email != "ana@example.com" {
		t.Fatalf("seen %+v", seen)
	}
	shop.Get(query.User{UserID: bob.ID}, asBoss, at, &seen)
	if seen.Name != "Bob" {
		t.Fatalf("seen %+v", seen)
	}
	for _, c := range []struct {
		ask  interface{ QueryName() string }
		as   eventlog.Actor
		code errs.Code
	}{
		{query.User{UserID: bob.ID}, asAna, errs.NotFound},
		{query.User{UserID: bob.ID}, asStaff, errs.NotFound},
		{query.User{UserID: bob.ID}, eventlog.Actor{ID: "*", Roles: []string{events.Admin}}, errs.NotFound},
		{query.User{UserID: bob.ID}, asNobody, errs.Unauthenticated},
		{query.User{UserID: "usr_none"}, asBoss, errs.NotFound},
		{query.User{UserID: "usr_>"}, asBoss, errs.Invalid},
		{query.Users{}, asAna, errs.Forbidden},
		{query.Users{}, asStaff, errs.Forbidden},
		{query.Users{}, asNobody, errs.Unauthenticated},
	} {
		if body, err := shop.Query(t.Context(), c.ask, eventlog.Envelope{Actor: c.as, After: at}); !errs.Is(err, c.code) {
			t.Errorf("%+v as %v: want %s, got %v %s", c.ask, c.as, c.code, err, body)
		}
	}

	var page query.List[query.UserView]
	shop.Get(query.Users{Page: query.Page{Page: 2, Limit: 2}}, asBoss, at, &page)
	if page.Meta != (query.Meta{Total: 3, Page: 2, LastPage: 2}) || len(page.Data) != 1 || page.Data[0].Name != "Bob" {
		t.Fatalf("oldest first, the last of admin, Ana and Bob: %+v", page)
	}
}

func TestCommands_SentTwiceHaveTheSameAnswer(t *testing.T) {
	shop := shoptest.Start(t, New(Config{AdminPassword: password, derive: quick}))
	var tokens query.Tokens
	for _, send := range []func() bus.Command{
		func() bus.Command {
			return command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password}
		},
		func() bus.Command { return command.LogIn{Email: "ana@example.com", Password: password} },
		func() bus.Command {
			shop.Do(command.LogIn{Email: "ana@example.com", Password: password}, eventlog.Actor{}, &tokens)
			return command.RefreshSession{RefreshToken: tokens.RefreshToken}
		},
	} {
		cmd, id := send(), eventlog.Envelope{ID: eventlog.NewID()}
		once, err := shop.Send(t.Context(), cmd, id)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := shop.Send(t.Context(), cmd, id)
		if err != nil || once.Replayed || !twice.Replayed || !bytes.Equal(once.Body, twice.Body) || once.Position != twice.Position {
			t.Fatalf("%s: %v\nonce  %+v\ntwice %+v", cmd.CommandName(), err, once, twice)
		}
	}

	// The id of one registration is not good for another, even if only the
	// password differs.
	id := eventlog.Envelope{ID: eventlog.NewID()}
	cmd := command.RegisterUser{Name: "Bob", Email: "bob@example.com", Password: password}
	if _, err := shop.Send(t.Context(), cmd, id); err != nil {
		t.Fatal(err)
	}
	cmd.Password += "?"
	if _, err := shop.Send(t.Context(), cmd, id); !errs.Is(err, errs.Invalid) {
		t.Fatalf("another password under the same id: %v", err)
	}
}

func TestLogIn_UnknownAddressIsAsSlowAsAWrongPassword(t *testing.T) {
	var hashed atomic.Int32
	shop := shoptest.Start(t, New(Config{AdminPassword: password, derive: func(p, salt []byte, time, memory uint32, threads uint8, n uint32) []byte {
		if (cost{memory, time, threads}) != currentCost {
			t.Errorf("hashed at %d KiB, %d passes, %d threads", memory, time, threads)
		}
		hashed.Add(1)
		return quick(p, salt, time, memory, threads, n)
	}}))
	answer := func(email string) (string, int32) {
		before := hashed.Load()
		_, err := shop.Send(t.Context(), command.LogIn{Email: email, Password: "wrong horse"}, eventlog.Envelope{})
		if !errs.Is(err, errs.Unauthenticated) {
			t.Fatalf("%s: %v", email, err)
		}
		return err.Error(), hashed.Load() - before
	}
	unknown, unknownCost := answer("nobody@example.com")
	wrong, wrongCost := answer("admin@lonja.local")
	if unknown != wrong || unknownCost != 1 || wrongCost != 1 {
		t.Fatalf("unknown: %q after %d hashes; wrong: %q after %d", unknown, unknownCost, wrong, wrongCost)
	}
}
