package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/revocation"
	"lonja/shop/shoptest"
)

// people is a shop with an administrator, and what a test does in it.
type people struct {
	*shoptest.Shop
	*identity
	t     *testing.T
	admin eventlog.Actor
}

func newPeople(t *testing.T) *people {
	t.Helper()
	i := build(Config{AdminPassword: password, derive: quick})
	p := &people{shoptest.Start(t, i.service()), i, t, eventlog.Actor{}}
	p.admin = actor(p.logsIn("admin@lonja.local"))
	return p
}

func (p *people) register(email string) query.UserView {
	p.t.Helper()
	var u query.UserView
	p.Do(command.RegisterUser{Name: "Ana", Email: email, Password: password}, eventlog.Actor{}, &u)
	return u
}

func (p *people) logsIn(email string) (tokens query.Tokens) {
	p.t.Helper()
	p.Do(command.LogIn{Email: email, Password: password}, eventlog.Actor{}, &tokens)
	return tokens
}

func (p *people) cannotLogIn(email string) {
	p.t.Helper()
	p.Fails(command.LogIn{Email: email, Password: password}, eventlog.Actor{}, errs.Unauthenticated)
}

// again sends a command for the second time and returns the error.
func (p *people) again(cmd bus.Command, id string, as eventlog.Actor) error {
	p.t.Helper()
	reply, err := p.Send(p.t.Context(), cmd, eventlog.Envelope{ID: id, Actor: as})
	if err != nil && len(reply.Body) > 0 || strings.Contains(string(reply.Body), "Ana") || strings.Contains(string(reply.Body), "ana@") {
		p.t.Errorf("%s answers %s", cmd.CommandName(), reply.Body)
	}
	return err
}

// as is a user with a token that is never revoked.
func as(u query.UserView) eventlog.Actor {
	return eventlog.Actor{ID: string(u.ID), Roles: u.Roles, TokenPosition: math.MaxInt64}
}

func TestRegister_TwoStepsAndOneAnswer(t *testing.T) {
	p := newPeople(t)
	cmd, id := command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password}, eventlog.NewID()
	once, err := p.Send(t.Context(), cmd, eventlog.Envelope{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	var ana query.UserView
	if err := json.Unmarshal(once.Body, &ana); err != nil {
		t.Fatal(err)
	}
	address := p.issuer.addressIDs(cmd.Email)[0]
	if ana.ID == address || once.EntityID != string(ana.ID) || once.Replayed {
		t.Errorf("%+v of address %s", once, address)
	}
	// The position is that of the account, so whoever has it sees the account.
	var listed query.List[query.UserView]
	p.Get(query.Users{Email: cmd.Email}, p.admin, once.Position, &listed)
	if listed.Meta.Total != 1 || listed.Data[0].ID != ana.ID {
		t.Errorf("listed %+v", listed)
	}
	twice, err := p.Send(t.Context(), cmd, eventlog.Envelope{ID: id})
	if err != nil || !twice.Replayed || !bytes.Equal(once.Body, twice.Body) || once.Position != twice.Position {
		t.Errorf("%v\nonce  %+v\ntwice %+v", err, once, twice)
	}
	other := p.register("eva@example.com")
	if other.ID == ana.ID || len(other.ID) != len("usr_")+32 {
		t.Errorf("ids %s and %s", ana.ID, other.ID)
	}
}

// The program stops after the first step. Its next start, or another replica, completes it.
func TestRegister_ReactionCompletesIt(t *testing.T) {
	p := newPeople(t)
	address, id := p.issuer.addressIDs("ana@example.com")[0], userID(random())
	hash, err := p.passwords.hash(t.Context(), currentCost, password, p.issuer.salt(address))
	if err != nil {
		t.Fatal(err)
	}
	p.Record("IDENTITY", events.UserEmailClaimed{EmailID: address, UserID: id, Email: "ana@example.com", Name: "Ana", PasswordHash: hash, Roles: []string{events.Customer}})
	shoptest.Await(p.Shop, func(e events.UserRegistered) bool { return e.UserID == id && e.EmailID == address })
	if got := p.logsIn("ana@example.com").User; got.ID != id {
		t.Errorf("%+v logged in", got)
	}
	p.Fails(command.RegisterUser{Name: "Eve", Email: "ana@example.com", Password: password}, eventlog.Actor{}, errs.Conflict)
}

// Replicas of an earlier version and of this one register the same address at once: the older
// one when this one, which has seen that the address is free, has made the key that seals it.
func TestRegister_OneWinsAgainstAnOlderReplica(t *testing.T) {
	p := newPeople(t)
	keys, err := p.Conn.SubscribeSync("keys.*")
	if err != nil {
		t.Fatal(err)
	}
	won := map[bool]int{}
	for n := range 40 {
		c := command.RegisterUser{Name: "Ana", Email: fmt.Sprintf("ana%d@example.com", n), Password: password}
		old := oldRegistration(t, p.identity, c)
		var both sync.WaitGroup
		var oldErr, newErr error
		both.Go(func() {
			if _, err := keys.NextMsg(10 * time.Second); err != nil {
				t.Error(err)
			}
			_, oldErr = p.JS.PublishMsg(t.Context(), old)
		})
		both.Go(func() { _, newErr = p.Send(t.Context(), c, eventlog.Envelope{}) })
		both.Wait()
		if !(oldErr == nil && errs.Is(newErr, errs.Conflict) || eventlog.IsConflict(oldErr) && newErr == nil) {
			t.Fatalf("%s: the older one %v, this one %v", c.Email, oldErr, newErr)
		}
		won[newErr == nil]++
		isOld := p.logsIn(c.Email).User.ID == p.issuer.addressIDs(c.Email)[0]
		if isOld != (oldErr == nil) {
			t.Errorf("%s leads to the wrong account", c.Email)
		}
		p.Fails(command.RegisterUser{Name: "Eve", Email: c.Email, Password: password}, eventlog.Actor{}, errs.Conflict)
	}
	t.Logf("this version won %d of 40", won[true])
}

// Two replicas of this version register the same address at once.
func TestRegister_OneOfTwoWins(t *testing.T) {
	p := newPeople(t)
	start(t, p.Shop, "b", t.TempDir(), Config{AdminPassword: password, derive: quick}).serves(t)
	for n := range 20 {
		var won atomic.Int32
		var all sync.WaitGroup
		for name := range 4 {
			all.Go(func() {
				c := command.RegisterUser{Name: fmt.Sprint("Ana ", name), Email: fmt.Sprintf("ana%d@example.com", n), Password: password}
				switch _, err := p.Send(t.Context(), c, eventlog.Envelope{}); {
				case err == nil:
					won.Add(1)
				case !errs.Is(err, errs.Conflict):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d registered one address", won.Load())
		}
	}
}

// What stands in plain text for ever must not let anybody try what a command might have said.
func TestCommands_HashesTellNothing(t *testing.T) {
	p := newPeople(t)
	ana := p.register("ana@example.com")
	name := "Ana Ana"
	sent := []bus.Command{
		command.ChangeProfile{UserID: ana.ID, Name: &name},
		command.ChangeEmail{UserID: ana.ID, Email: "ana@example.org", Password: password},
		command.EraseUser{UserID: ana.ID, Password: password},
	}
	guesses := map[string]string{}
	for _, c := range sent {
		p.Do(c, as(ana), nil)
		body, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		guesses[eventlog.HashBody(body)] = c.CommandName()
	}
	seen := 0
	for _, m := range recorded(t, p.Shop) {
		hash := m.Headers().Get("ce-requesthash")
		if guesses[hash] != "" {
			t.Errorf("%s shows the hash of %s", m.Subject(), guesses[hash])
		}
		if hash != "" {
			seen++
		}
		if string(ana.ID) == "" || strings.Contains(string(m.Data()), "ana@") || strings.Contains(string(m.Data()), "Ana") {
			t.Errorf("%s shows %s", m.Subject(), m.Data())
		}
	}
	if seen < len(sent) {
		t.Errorf("looked at %d hashes", seen)
	}
	secret, other := user{firstHash: "one"}, user{firstHash: "another"}
	if a, b := secret.fingerprint("profile", "x"), other.fingerprint("profile", "x"); a == b || a != secret.fingerprint("profile", "x") {
		t.Errorf("%s and %s", a, b)
	}
}

func TestChangeEmail(t *testing.T) {
	p := newPeople(t)
	ana, eva := p.register("ana@example.com"), p.register("eva@example.com")
	change := func(to, password string) command.ChangeEmail {
		return command.ChangeEmail{UserID: ana.ID, Email: to, Password: password}
	}
	for _, c := range []struct {
		command.ChangeEmail
		as   eventlog.Actor
		code errs.Code
	}{
		{change("new@example.com", password), eventlog.Actor{}, errs.Unauthenticated},
		{change("new@example.com", ""), as(ana), errs.Invalid},
		{change("new@example.com", "wrong horse"), as(ana), errs.Forbidden},
		{change("new@example.com", password), as(eva), errs.Forbidden},
		{change("eva@example.com", password), as(ana), errs.Conflict},
		{change("EVA@example.com", ""), p.admin, errs.Conflict},
		{command.ChangeEmail{UserID: "usr_none", Email: "new@example.com"}, p.admin, errs.NotFound},
		{command.ChangeEmail{UserID: events.UserID(p.admin.ID), Email: "new@example.com"}, p.admin, errs.Invalid},
	} {
		p.Fails(c.ChangeEmail, c.as, c.code)
	}

	// In another spelling it is the same address.
	var same, changed query.UserView
	p.Do(change(" ANA@example.com", password), as(ana), &same)
	if same.Email != ana.Email || same.ID != ana.ID {
		t.Errorf("%+v", same)
	}

	id := eventlog.NewID()
	once, err := p.Send(t.Context(), change("New@example.com", password), eventlog.Envelope{ID: id, Actor: as(ana)})
	if err == nil {
		err = json.Unmarshal(once.Body, &changed)
	}
	if err != nil || changed.ID != ana.ID || changed.Email != "new@example.com" || once.EntityID != string(ana.ID) {
		t.Fatalf("%+v, %v", changed, err)
	}
	var seen query.UserView
	p.Get(query.User{UserID: ana.ID}, as(ana), once.Position, &seen)
	if seen.Email != "new@example.com" || seen.Name != "Ana" {
		t.Errorf("seen %+v", seen)
	}
	p.logsIn("new@example.com")
	p.cannotLogIn("ana@example.com")

	// The address before is free, and the change is answered as it was.
	shoptest.Await(p.Shop, func(e events.UserEmailReleased) bool { return e.UserID == ana.ID })
	another := p.register("ana@example.com")
	if again, err := p.Send(t.Context(), change("New@example.com", password), eventlog.Envelope{ID: id, Actor: as(ana)}); err != nil || !again.Replayed || !bytes.Equal(again.Body, once.Body) {
		t.Errorf("again %+v, %v", again, err)
	}
	if p.logsIn("ana@example.com").User.ID != another.ID {
		t.Error("the old address leads to the old account")
	}
	p.Do(command.ResetPassword{Email: "new@example.com", Password: "another horse"}, eventlog.Actor{}, nil)
	p.Fails(command.LogIn{Email: "new@example.com", Password: password}, eventlog.Actor{}, errs.Unauthenticated)
	p.Do(command.LogIn{Email: "new@example.com", Password: "another horse"}, eventlog.Actor{}, nil)
}

// An account of an earlier version is its address's entity. It stays usable when somebody else
// gets that address.
func TestChangeEmail_OfAnOlderAccount(t *testing.T) {
	p := newPeople(t)
	was := command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password}
	registered := oldAccount(t, p.Shop, p.identity, was)
	old := p.logsIn("ana@example.com").User
	p.Do(command.ChangeEmail{UserID: old.ID, Email: "new@example.com"}, p.admin, nil)
	shoptest.Await(p.Shop, func(e events.UserEmailReleased) bool { return e.UserID == old.ID && e.EmailID == old.ID })
	young := p.register("ana@example.com")
	if young.ID == old.ID || p.logsIn("ana@example.com").User.ID != young.ID || p.logsIn("new@example.com").User.ID != old.ID {
		t.Fatalf("%s and %s", old.ID, young.ID)
	}
	again, err := p.Send(t.Context(), was, eventlog.Envelope{ID: registered})
	if err != nil || !again.Replayed || !strings.Contains(string(again.Body), `"ana@example.com"`) {
		t.Errorf("again %s, %v", again.Body, err)
	}
	p.Do(command.EraseUser{UserID: old.ID}, p.admin, nil)
	p.cannotLogIn("new@example.com")
	p.logsIn("ana@example.com")
	if err := p.again(was, registered, eventlog.Actor{}); !errs.Is(err, errs.NotFound) {
		t.Errorf("after the erasure: %v", err)
	}
}

func TestChangeProfile_OnlyOnesOwn(t *testing.T) {
	p := newPeople(t)
	ana := p.register("ana@example.com")
	name, locale := "Ana Mari\u0301a", "es-MX"
	var changed, seen query.UserView
	cmd := command.ChangeProfile{UserID: ana.ID, Name: &name, Locale: &locale}
	p.Fails(cmd, p.admin, errs.Forbidden)
	p.Fails(cmd, eventlog.Actor{}, errs.Unauthenticated)
	at := p.Do(cmd, as(ana), &changed).Position
	if changed.Name != "Ana María" || changed.Locale != "es-MX" || changed.Email != ana.Email {
		t.Errorf("changed %+v", changed)
	}
	p.Get(query.User{UserID: ana.ID}, p.admin, at, &seen)
	if seen.Name != changed.Name || seen.Locale != changed.Locale {
		t.Errorf("seen %+v", seen)
	}
}

func TestErase_NothingAnswersForThePerson(t *testing.T) {
	p := newPeople(t)
	ids := map[string]string{}
	send := func(cmd bus.Command, as eventlog.Actor) bus.Reply {
		t.Helper()
		ids[cmd.CommandName()] = eventlog.NewID()
		reply, err := p.Send(t.Context(), cmd, eventlog.Envelope{ID: ids[cmd.CommandName()], Actor: as})
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	var ana query.UserView
	var tokens, renewed query.Tokens
	name := "Ana Ana"
	decode := func(r bus.Reply, into any) {
		t.Helper()
		if err := json.Unmarshal(r.Body, into); err != nil {
			t.Fatal(err)
		}
	}
	register := command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password}
	logIn := command.LogIn{Email: "ana@example.com", Password: password}
	decode(send(register, eventlog.Actor{}), &ana)
	decode(send(logIn, eventlog.Actor{}), &tokens)
	refresh := command.RefreshSession{RefreshToken: tokens.RefreshToken}
	decode(send(refresh, eventlog.Actor{}), &renewed)
	profile := command.ChangeProfile{UserID: ana.ID, Name: &name}
	send(profile, as(ana))
	roles := command.SetRoles{UserID: ana.ID, Roles: []string{events.Customer, events.Staff}}
	send(roles, p.admin)
	email := command.ChangeEmail{UserID: ana.ID, Email: "ana@example.org"}
	send(email, p.admin)
	reset := command.ResetPassword{Email: "ana@example.org", Password: password}
	send(reset, eventlog.Actor{})

	p.Fails(command.EraseUser{UserID: ana.ID, Password: "wrong horse"}, as(ana), errs.Forbidden)
	p.Fails(command.EraseUser{UserID: ana.ID}, as(ana), errs.Invalid)
	p.Fails(command.EraseUser{UserID: events.UserID(p.admin.ID), Password: password}, p.admin, errs.Conflict)
	erase := command.EraseUser{UserID: ana.ID, Password: password}
	erased := send(erase, as(ana))

	p.cannotLogIn("ana@example.org")
	p.cannotLogIn("ana@example.com")
	p.Fails(command.RefreshSession{RefreshToken: renewed.RefreshToken}, eventlog.Actor{}, errs.Unauthenticated)
	p.Fails(command.SetRoles{UserID: ana.ID, Roles: []string{events.Admin}}, p.admin, errs.NotFound)
	p.Fails(command.ChangeEmail{UserID: ana.ID, Email: "x@example.com"}, p.admin, errs.NotFound)
	p.Fails(command.EraseUser{UserID: ana.ID}, p.admin, errs.NotFound)
	p.Fails(command.SealUser{UserID: ana.ID}, eventlog.Actor{}, errs.NotFound)
	p.Fails(command.ResetPassword{Email: "ana@example.org", Password: password}, eventlog.Actor{}, errs.NotFound)
	for _, q := range []interface{ QueryName() string }{query.User{UserID: ana.ID}, query.UserExport{UserID: ana.ID}} {
		for _, actor := range []eventlog.Actor{p.admin, as(ana)} {
			if body, err := p.Query(t.Context(), q, eventlog.Envelope{Actor: actor, After: erased.Position}); !errs.Is(err, errs.NotFound) {
				t.Errorf("%s: %s, %v", q.QueryName(), body, err)
			}
		}
	}
	var listed query.List[query.UserView]
	p.Get(query.Users{}, p.admin, erased.Position, &listed)
	if slices.ContainsFunc(listed.Data, func(u query.UserView) bool { return u.ID == ana.ID }) || listed.Meta.Total != 1 {
		t.Errorf("listed %+v", listed)
	}
	for _, c := range []struct {
		bus.Command
		as   eventlog.Actor
		code errs.Code
	}{
		{register, eventlog.Actor{}, errs.NotFound},
		{logIn, eventlog.Actor{}, errs.Unauthenticated},
		{refresh, eventlog.Actor{}, errs.Unauthenticated},
		{profile, as(ana), errs.NotFound},
		{roles, p.admin, errs.NotFound},
		{email, p.admin, errs.NotFound},
		{reset, eventlog.Actor{}, errs.NotFound},
	} {
		if err := p.again(c.Command, ids[c.CommandName()], c.as); !errs.Is(err, c.code) {
			t.Errorf("%s again: want %s, got %v", c.CommandName(), c.code, err)
		}
	}
	// Her access tokens are revoked, and both addresses can be registered anew.
	position := uint64(0)
	list := revocation.New(p.Conn)
	for deadline := time.Now().Add(20 * time.Second); !errs.Is(list.Check(t.Context(), eventlog.Actor{ID: string(ana.ID), TokenPosition: position}), errs.Unauthenticated); {
		if time.Now().After(deadline) {
			t.Fatal("her tokens are not revoked")
		}
	}
	for _, address := range []string{"ana@example.org", "ana@example.com"} {
		if u := p.register(address); u.ID == ana.ID || u.Locale != "" || p.logsIn(address).User.ID != u.ID {
			t.Errorf("%s is registered by %+v", address, u)
		}
	}
}

// An administrator whose answer was lost asks again and learns that it is done.
func TestErase_AgainByAnAdministrator(t *testing.T) {
	p := newPeople(t)
	ana := p.register("ana@example.com")
	cmd, id := command.EraseUser{UserID: ana.ID}, eventlog.NewID()
	for _, replayed := range []bool{false, true} {
		reply, err := p.Send(t.Context(), cmd, eventlog.Envelope{ID: id, Actor: p.admin})
		if err != nil || reply.Replayed != replayed || string(reply.Body) != "{}" {
			t.Errorf("%+v, %v", reply, err)
		}
	}
}

// A replica that has the account in memory learns of the erasure before it repeats an answer.
func TestErase_AnotherReplicaDoesNotRepeatAnAnswer(t *testing.T) {
	p := newPeople(t)
	other := start(t, p.Shop, "b", t.TempDir(), Config{AdminPassword: password, derive: quick}).serves(t)
	cmd, id := command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password}, eventlog.NewID()
	var ana query.UserView
	reply, err := p.Send(t.Context(), cmd, eventlog.Envelope{ID: id})
	if err == nil {
		err = json.Unmarshal(reply.Body, &ana)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []*identity{p.identity, other.identity} { // both have it in memory
		if u, err := i.loadUser(t.Context(), ana.ID); err != nil || !u.exists() {
			t.Fatalf("%+v, %v", u, err)
		}
	}
	p.Do(command.EraseUser{UserID: ana.ID}, p.admin, nil)
	for range 8 { // either replica may answer
		if err := p.again(cmd, id, eventlog.Actor{}); !errs.Is(err, errs.NotFound) {
			t.Errorf("again: %v", err)
		}
	}
}

// A user is erased after another address was claimed for them, and before they got it. Then
// nobody releases it, until somebody wants it.
func TestErase_WhileAnAddressIsClaimed(t *testing.T) {
	i, dir := build(Config{AdminPassword: password, derive: quick}), t.TempDir()
	p := &people{shoptest.Start(t), i, t, eventlog.Actor{}}
	stop := p.Run(i.service(), "a", dir)
	ana := p.register("ana@example.com")
	address := p.issuer.addressIDs("new@example.com")[0]
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	p.Record("IDENTITY", events.UserEmailClaimed{EmailID: address, UserID: ana.ID, Email: "new@example.com"})
	p.Record("IDENTITY", events.UserErased{UserID: ana.ID, EmailID: p.issuer.addressIDs("ana@example.com")[0]})
	p.Run(New(Config{AdminPassword: password, derive: quick}), "a", dir)
	p.cannotLogIn("new@example.com")
	if u := p.register("new@example.com"); u.ID == ana.ID || p.logsIn("new@example.com").User.ID != u.ID {
		t.Errorf("registered %+v", u)
	}
	released := shoptest.Await(p.Shop, func(e events.UserEmailReleased) bool { return e.EmailID == address })
	if released.UserID != ana.ID {
		t.Errorf("%+v", released)
	}
}

func TestSeal_RecordsAnOlderAccountOnce(t *testing.T) {
	p := newPeople(t)
	registered := oldAccount(t, p.Shop, p.identity, command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password})
	old := p.logsIn("ana@example.com")
	young := p.register("eva@example.com")
	for range 2 {
		var u query.UserView
		p.Do(command.SealUser{UserID: old.User.ID}, eventlog.Actor{}, &u)
		if u.ID != old.User.ID || u.Email != "ana@example.com" {
			t.Errorf("sealed %+v", u)
		}
	}
	p.Do(command.SealUser{UserID: young.ID}, eventlog.Actor{}, nil)
	p.Fails(command.SealUser{UserID: "usr_none"}, eventlog.Actor{}, errs.NotFound)
	sealed := 0
	for _, m := range recorded(t, p.Shop) {
		if strings.HasSuffix(m.Subject(), ".sealed") {
			sealed++
		}
	}
	if sealed != 1 {
		t.Errorf("%d accounts were sealed", sealed)
	}
	p.Do(command.RefreshSession{RefreshToken: old.RefreshToken}, eventlog.Actor{}, nil) // no session has ended
	again, err := p.Send(t.Context(), command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password}, eventlog.Envelope{ID: registered})
	if err != nil || !again.Replayed {
		t.Errorf("the registration again: %+v, %v", again, err)
	}
}

// Earlier names and addresses are in the log as long as the account exists, so they are
// exported; those of others who have the address now are not.
func TestExport_HasEarlierNamesAndAddresses(t *testing.T) {
	p := newPeople(t)
	name, locale := "Ana María", "es-MX"
	ana := p.register("ana@example.com")
	p.Do(command.ChangeProfile{UserID: ana.ID, Name: &name, Locale: &locale}, as(ana), nil)
	p.Do(command.ChangeEmail{UserID: ana.ID, Email: "ana@example.org", Password: password}, as(ana), nil)
	p.Do(command.ResetPassword{Email: "ana@example.org", Password: "another long password"}, eventlog.Actor{}, nil)
	at := p.Do(command.SetRoles{UserID: ana.ID, Roles: []string{events.Staff}}, p.admin, nil).Position
	eventually(t, "her first address is somebody else's", func() bool { // it is released by a reaction
		_, err := p.Send(t.Context(), command.RegisterUser{Name: "Eva", Email: "ana@example.com", Password: password}, eventlog.Envelope{})
		return err == nil
	})
	want := []query.AccountEvent{
		{Event: "user.email_claimed", Name: ana.Name, Email: "ana@example.com", Roles: []string{events.Customer}},
		{Event: "user.registered", Name: ana.Name, Email: "ana@example.com", Roles: []string{events.Customer}},
		{Event: "user.profile_changed", Name: name, Locale: locale},
		{Event: "user.email_claimed", Email: "ana@example.org"},
		{Event: "user.email_changed", Email: "ana@example.org"},
		{Event: "user.password_changed"},
		{Event: "user.roles_changed", Roles: []string{events.Staff}},
	}
	var got query.UserExportView
	p.Get(query.UserExport{UserID: ana.ID}, as(ana), at, &got)
	last, released := time.Time{}, 0
	got.History = slices.DeleteFunc(got.History, func(e query.AccountEvent) bool { // when it is recorded is the reaction's choice
		if e.Event == "user.email_released" {
			released++
		}
		return e.Event == "user.email_released"
	})
	for n := range got.History {
		if e := &got.History[n]; e.At.Before(last) {
			t.Errorf("%s is before the event before it", e.Event)
		} else {
			last, e.At = e.At, time.Time{}
		}
	}
	if !reflect.DeepEqual(got.History, want) || released != 1 {
		t.Errorf("her history, with %d releases:\n%+v\nwant\n%+v", released, got.History, want)
	}
}

func TestExport_AllThatIsKeptOnAPerson(t *testing.T) {
	p := newPeople(t)
	before := time.Now().Add(-time.Second)
	ana := p.register("ana@example.com")
	eva := p.register("eva@example.com")
	first, second := p.logsIn("ana@example.com"), p.logsIn("ana@example.com")
	p.Do(command.RefreshSession{RefreshToken: second.RefreshToken}, eventlog.Actor{}, nil)
	at := p.Do(command.LogOut{RefreshToken: first.RefreshToken}, eventlog.Actor{}, nil).Position
	for _, actor := range []eventlog.Actor{as(ana), p.admin} {
		var got query.UserExportView
		p.Get(query.UserExport{UserID: ana.ID}, actor, at, &got)
		if got.User.Email != "ana@example.com" || got.RegisteredAt.Before(before) || len(got.Sessions) != 2 {
			t.Fatalf("%+v", got)
		}
		ended, goesOn := got.Sessions[0], got.Sessions[1]
		if ended.EndedAt == nil || !ended.LastUsedAt.Equal(ended.StartedAt) || goesOn.EndedAt != nil || !goesOn.LastUsedAt.After(goesOn.StartedAt) ||
			goesOn.ExpiresAt.Sub(goesOn.StartedAt).Round(time.Minute) != sessionLife {
			t.Errorf("%+v", got.Sessions)
		}
	}
	for code, actor := range map[errs.Code]eventlog.Actor{errs.NotFound: as(eva), errs.Unauthenticated: {}} {
		if body, err := p.Query(t.Context(), query.UserExport{UserID: ana.ID}, eventlog.Envelope{Actor: actor}); !errs.Is(err, code) {
			t.Errorf("%s, %v", body, err)
		}
	}
}
