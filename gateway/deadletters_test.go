package gateway_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/service"
)

// TestDeadLetters_ShowStaffNoSecrets keeps letters that hold secrets, wherever they
// died, and one that holds none.
func TestDeadLetters_ShowStaffNoSecrets(t *testing.T) {
	f := open(t)
	box := bus.NewDeadLetterQueue(f.JS)
	const secret = "$argon2id$v=19$SECRET"
	for i, l := range []bus.DeadLetter{
		{Consumer: "orders-on-stock", Stream: "INVENTORY", Subject: "events.stock.main.reserved"},
		{Consumer: bus.Undecodable, Stream: "IDENTITY", Subject: "events.user.usr_1.registered"},
		{Consumer: bus.Undecodable, Stream: "IDENTITY", Subject: "events.realm.main.key_added"},
		{Consumer: bus.Undecodable, Stream: "ELSEWHERE", Subject: "events.order.ord_1.placed"},
		{Consumer: "identity-retries", Stream: bus.RetryStream, Subject: "retries.identity.identity-on-users.IDENTITY.1"},
		{Consumer: "orders-retries", Stream: bus.RetryStream, Subject: "retries.nonsense"},
		{Consumer: "orders-deferred", Stream: bus.DeferredStream, Subject: "deferred.identity.register.x"},
		{Consumer: "identity-later", Stream: "TIMERS", Subject: "timers.due.identity-later.x",
			Headers: nats.Header{service.HeaderOriginal: {"events.session.ses_1.started"}}},
		{Consumer: "orders-on-stock", Stream: "INVENTORY", Subject: "events.session.ses_1.started"},
	} {
		l.Sequence, l.Reason, l.Data = uint64(i+1), "cannot read "+secret, `{"hash":"`+secret+`"}`
		if l.Headers == nil {
			l.Headers = nats.Header{}
		}
		l.Headers.Set("x-secret", secret)
		if _, err := box.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	var list struct{ Data []bus.DeadLetter }
	r := f.do("GET", "/api/deadletters?limit=100", nil, "Authorization", f.staff()).expect(200, &list)
	if n := strings.Count(string(r.body), "SECRET"); n != 3 || len(list.Data) != 9 {
		t.Errorf("%d letters show %d secrets, want 9 and the 3 of the first one: %s", len(list.Data), n, r.body)
	}
	for i, l := range list.Data {
		r := f.do("GET", "/api/deadletters/"+strconv.FormatUint(l.ID, 10), nil, "Authorization", f.staff()).expect(200, &l)
		if l.Private != (i > 0) || strings.Contains(string(r.body), "SECRET") == l.Private || l.Reason == "" || l.Subject == "" || l.Sequence != uint64(i+1) {
			t.Errorf("letter %d: %s", i+1, r.body)
		}
	}
	whole, err := box.Get(t.Context(), list.Data[1].ID)
	if err != nil || !strings.Contains(whole.Data, secret) {
		t.Errorf("the operator sees %+v, %v", whole, err)
	}
}
