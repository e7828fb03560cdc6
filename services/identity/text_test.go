package identity

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// oldAccount records a registration as earlier versions did, which recorded texts as they
// were sent. It returns the id of its command.
func oldAccount(t *testing.T, shop *shoptest.Shop, i *identity, c command.RegisterUser) (commandID string) {
	t.Helper()
	m := oldRegistration(t, i, c)
	if _, err := shop.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return m.Header.Get("ce-causationid")
}

// oldRegistration returns the event that earlier versions recorded of a registration, on the
// condition that nothing was recorded of the entity before.
func oldRegistration(t *testing.T, i *identity, c command.RegisterUser) *nats.Msg {
	t.Helper()
	email := strings.ToLower(strings.TrimSpace(c.Email))
	id := userID(i.issuer.mac("user", email))
	hash, err := i.passwords.hash(t.Context(), currentCost, c.Password, i.issuer.salt(id))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"user_id": id, "name": c.Name, "email": email, "password_hash": hash, "roles": []string{events.Customer}})
	if err != nil {
		t.Fatal(err)
	}
	commandID := eventlog.NewID()
	header := eventlog.Envelope{ID: eventlog.DeriveID("fact", commandID), Type: "lonja.user.registered.v1", Causation: commandID, Correlation: commandID,
		RequestHash: eventlog.HashBody([]byte(strings.Join([]string{c.Name, email, hash}, "\x00")))}.Header()
	header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{userType.Filter(string(id))}
	return &nats.Msg{Subject: "events.user." + string(id) + ".registered", Header: header, Data: data}
}

func TestAccounts_OfEarlierVersionsStayUsable(t *testing.T) {
	i := build(Config{AdminPassword: password, derive: quick})
	shop := shoptest.Start(t, i.service())
	nobody := eventlog.Actor{}
	for _, c := range []command.RegisterUser{
		{Name: "Ana", Email: "ana@example.com", Password: "correct horse"},
		{Name: "Jose\u0301", Email: "jose\u0301@example.com", Password: "pa\u0301ssword9"},
		{Name: "Jos\u00e9", Email: "jos\u00e9e@example.com", Password: "p\u00e1ssword9"},
		{Name: "Odos", Email: "οδος@example.com", Password: "correct horse"},
		{Name: "Strauß", Email: "STRAUß@example.com", Password: "correct horse"},
		{Name: "\u202eana", Email: "in\u200bvisible@example.com", Password: "pássför"},
	} {
		was := oldAccount(t, shop, i, c)
		var tokens query.Tokens
		shop.Do(command.LogIn{Email: c.Email, Password: c.Password}, nobody, &tokens)
		_, width := utf8.DecodeRuneInString(c.Email)
		shop.Do(command.LogIn{Email: strings.ToUpper(c.Email[:width]) + c.Email[width:], Password: c.Password}, nobody, nil)
		shop.Do(command.LogIn{Email: events.NormalText(c.Email), Password: c.Password}, nobody, nil)
		shop.Fails(command.LogIn{Email: c.Email, Password: c.Password + "?"}, nobody, errs.Unauthenticated)
		// The address is taken, and the same request is still answered as it was.
		again, err := shop.Send(t.Context(), c, eventlog.Envelope{ID: was})
		if err != nil || !again.Replayed || again.EntityID != string(tokens.User.ID) {
			t.Errorf("%q: again %+v, %v", c.Email, again, err)
		}
		taken := c
		taken.Name, taken.Password = "Eve", "another horse"
		code := errs.Conflict
		if _, err := taken.Normal(); err != nil {
			code = errs.Invalid
		}
		shop.Fails(taken, nobody, code)
	}
}

func TestAccounts_TextsThatLookTheSameAreTheSame(t *testing.T) {
	shop := shoptest.Start(t, New(Config{AdminPassword: password, derive: quick}))
	nobody := eventlog.Actor{}
	var ana query.UserView
	at := shop.Do(command.RegisterUser{Name: "Jose\u0301", Email: "Jose\u0301.Strauß@Example.com", Password: "pa\u0301ssword9"}, nobody, &ana)
	if ana.Name != "José" || ana.Email != "josé.strauß@example.com" {
		t.Errorf("registered %+v", ana)
	}
	for _, email := range []string{"josé.strauß@example.com", "JOSE\u0301.STRAUß@EXAMPLE.COM", "josé.STRAUSS@example.com"} {
		for _, password := range []string{"pa\u0301ssword9", "p\u00e1ssword9"} {
			shop.Do(command.LogIn{Email: email, Password: password}, nobody, nil)
		}
		shop.Fails(command.RegisterUser{Name: "Eve", Email: email, Password: password}, nobody, errs.Conflict)
		var admin query.Tokens
		shop.Do(command.LogIn{Email: "admin@lonja.local", Password: password}, nobody, &admin)
		var listed query.List[query.UserView]
		shop.Get(query.Users{Email: email}, actor(admin), at.Position, &listed)
		if listed.Meta.Total != 1 || listed.Data[0].ID != ana.ID {
			t.Errorf("%q finds %+v", email, listed)
		}
	}
	shop.Fails(command.LogIn{Email: "jose.strauß@example.com", Password: "pássword9"}, nobody, errs.Unauthenticated)
}

func TestRegister_RejectsInvisibleCharacters(t *testing.T) {
	shop := shoptest.Start(t, New(Config{AdminPassword: password, derive: quick}))
	for name, c := range map[string]struct {
		field string
		command.RegisterUser
	}{
		"a name that is turned around":     {"name", command.RegisterUser{Name: "\u202eana", Email: "a@example.com", Password: password}},
		"a name with no width":             {"name", command.RegisterUser{Name: "An\u200ba", Email: "a@example.com", Password: password}},
		"a name of two lines":              {"name", command.RegisterUser{Name: "Ana\nAdmin", Email: "a@example.com", Password: password}},
		"an address with a soft hyphen":    {"email", command.RegisterUser{Name: "Ana", Email: "a\u00adna@example.com", Password: password}},
		"an address with a joiner":         {"email", command.RegisterUser{Name: "Ana", Email: "आ\u200dna@example.com", Password: password}},
		"a password of seven characters":   {"password", command.RegisterUser{Name: "Ana", Email: "a@example.com", Password: "pa\u0301ssfo\u0308r"}},
		"a password of seven, precomposed": {"password", command.RegisterUser{Name: "Ana", Email: "a@example.com", Password: "pässför"}},
	} {
		_, err := shop.Send(t.Context(), c.RegisterUser, eventlog.Envelope{})
		if e, ok := errs.As(err); !ok || e.Code != errs.Invalid || e.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n, name := range []string{"علی\u200cرضا", "👩\u200d🚀", "葛\U000e0100城", strings.Repeat("👨\u200d👩\u200d👧", 200)} {
		shop.Do(command.RegisterUser{Name: name, Email: "a" + string(rune('0'+n)) + "@example.com", Password: password}, eventlog.Actor{}, nil)
	}
}

// Invalid UTF-8 would decode to one and the same character.
func TestLogIn_RejectsJSONThatIsNotStrict(t *testing.T) {
	shop := shoptest.Start(t, New(Config{AdminPassword: password, derive: quick}))
	for _, body := range []string{
		"{\"email\":\"admin@lonja.local\",\"password\":\"pass\xe4word9\"}",
		`{"email":"admin@lonja.local","password":"pass\ud800word9"}`,
		`{"Email":"admin@lonja.local","password":"` + password + `"}`,
		`{"email":"ana@lonja.local","email":"admin@lonja.local","password":"` + password + `"}`,
	} {
		m, err := shop.Conn.RequestMsgWithContext(t.Context(), &nats.Msg{Subject: "commands.identity.login", Data: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		if code := m.Header.Get("Nats-Service-Error-Code"); code != string(errs.Invalid) {
			t.Errorf("%q: %s %s", body, code, m.Data)
		}
	}
}
