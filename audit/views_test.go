package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/kittest/servicetest"
	"lonja/kit/service"
	"lonja/services/catalog"
	"lonja/services/identity"
	"lonja/services/orders"
	"lonja/services/payments"
	"lonja/shop"
	"lonja/shop/shoptest"
)

var (
	staff = eventlog.Actor{ID: "usr_staff", Roles: []string{events.Staff}}
	ana   = eventlog.Actor{ID: "usr_ana", Roles: []string{events.Customer}}
)

func everyService() []*service.Service {
	return shop.All(shop.Config{
		Identity: identity.Config{AdminPassword: "correct horse battery"}, Payments: payments.Config{Providers: []payments.Provider{payments.Sandbox()}},
	})
}

// auditUntilSettled audits until nothing is under way, for ten seconds at most.
func (s *fixture) auditUntilSettled(dir string) (r *Report) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if r = s.audit(true, dir, everyService()...); r.Found[Settled] == 0 {
			return r
		}
	}
	return r
}

// order places an order for ana at the prices known at a position, and returns it
// once it awaits payment or is cancelled.
func (s *fixture) order(pieces int64, after string) (o query.OrderView) {
	s.t.Helper()
	placed, err := s.Send(s.t.Context(), command.PlaceOrder{Items: []command.OrderLine{{SKU: "71053", Quantity: pieces}}}, eventlog.Envelope{Actor: ana, After: after})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(placed.Body, &o); err != nil {
		s.t.Fatal(err)
	}
	s.Get(query.Order{OrderID: o.ID, Await: 5_000}, ana, placed.Position, &o)
	return o
}

// pay settles an order's payment once it is requested.
func (s *fixture) pay(compactID events.OrderID, outcome string) {
	s.t.Helper()
	shoptest.Await(s.Shop, func(e events.PaymentRequested) bool { return e.OrderID == compactID })
	s.Do(command.SettlePayment{PaymentID: events.PaymentFor(compactID), Outcome: outcome}, eventlog.Actor{}, nil)
}

func TestRun_WorkingShopHasNoViolations(t *testing.T) {
	s, dir := newFixture(t), t.TempDir()
	for _, svc := range everyService() {
		s.Run(svc, "a", dir)
	}
	s.Run(orders.New(orders.Config{}), "b", dir)
	listed := s.Do(command.CreateProduct{Product: productCreated.Product}, staff, nil)
	s.Do(command.CountStock{SKU: "71053", OnHand: 10}, staff, nil)
	delivered, declined, returned := s.order(2, listed.Position).ID, s.order(1, listed.Position).ID, s.order(3, listed.Position).ID
	s.order(1, listed.Position) // is never paid
	if o := s.order(100, listed.Position); o.Status != query.Cancelled {
		t.Fatalf("more than there is: %+v", o)
	}
	s.pay(delivered, command.Pay)
	s.pay(declined, command.Decline)
	s.pay(returned, command.Pay)
	for _, compactID := range []events.OrderID{delivered, returned} {
		shoptest.Await(s.Shop, func(e events.OrderPaid) bool { return e.OrderID == compactID })
	}
	s.Do(command.ShipOrder{OrderID: delivered}, staff, nil)
	s.Do(command.DeliverOrder{OrderID: delivered}, staff, nil)
	s.Do(command.CancelOrder{OrderID: returned}, staff, nil)
	s.Do(command.RetryPayment{PaymentID: events.PaymentFor(declined)}, eventlog.Actor{}, nil)
	s.Do(command.CancelOrder{OrderID: declined}, staff, nil)
	s.Do(command.ArchiveProduct{SKU: "71053"}, staff, nil)
	s.Do(command.ChangeProduct{SKU: "71053", Available: new(true)}, staff, nil)
	var tokens query.Tokens
	s.Do(command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: "correct horse"}, eventlog.Actor{}, nil)
	s.Do(command.LogIn{Email: "ana@example.com", Password: "correct horse"}, eventlog.Actor{}, &tokens)
	s.Do(command.LogOut{RefreshToken: tokens.RefreshToken}, eventlog.Actor{}, nil)

	r := s.auditUntilSettled(dir)
	want(t, r)
	if r.Orders[query.Delivered] != 1 || r.Orders[query.Cancelled] != 3 || r.Orders[query.AwaitingPayment] != 1 {
		t.Errorf("orders %v", r.Orders)
	}
	views := map[string]int64{}
	for _, v := range r.Views {
		views[v.View] = v.Rows
	}
	for _, name := range []string{"catalog/a/shelf", "inventory/a/levels", "orders/a/book", "orders/b/book", "orders/a/offers", "orders/b/offers", "payments/a/payments", "identity/a/accounts"} {
		if views[name] == 0 {
			t.Errorf("no rows of %s were compared: %v", name, views)
		}
	}
	var summary strings.Builder
	if err := r.WriteSummary(&summary); err != nil || !strings.Contains(summary.String(), "1 awaiting_payment, 3 cancelled, 1 delivered") {
		t.Errorf("%v in\n%s", err, &summary)
	}
	if strings.Contains(summary.String(), "example.com") {
		t.Errorf("the summary shows an address:\n%s", &summary)
	}
}

// A view from before an erasure has the rows of one that is built after it. The reaction that
// forgets takes up to half a minute, so this audit does not wait for it.
func TestRun_AfterAnErasure(t *testing.T) {
	s, dir := newFixture(t), t.TempDir()
	svc := identity.New(identity.Config{AdminPassword: "correct horse battery"})
	s.Run(svc, "a", dir)
	bea := s.erasedPerson()
	last, err := s.lastOf(identityStream, "events.>")
	if err == nil {
		err = svc.Views[0].Await(t.Context(), map[string]uint64{identityStream: last.Sequence})
	}
	if err != nil {
		t.Fatal(err)
	}
	r := s.audit(false, dir, everyService()...)
	want(t, r)
	if r.Users["active"] != 2 || r.Users["erased"] != 1 || len(r.Views) != 1 || r.Views[0].Note != "" || r.Views[0].Rows == 0 {
		t.Errorf("users %v, views %+v", r.Users, r.Views)
	}
	s.wantNothingPersonal(string(bea))
}

// erasedPerson is somebody who used everything that an account can do, and was erased. Somebody
// else has their first address.
func (s *fixture) erasedPerson() events.UserID {
	s.t.Helper()
	var bea query.UserView
	s.Do(command.RegisterUser{Name: "Bea", Email: "bea@example.com", Password: "correct horse"}, eventlog.Actor{}, &bea)
	self := eventlog.Actor{ID: string(bea.ID), Roles: bea.Roles}
	s.Do(command.LogIn{Email: "bea@example.com", Password: "correct horse"}, eventlog.Actor{}, nil)
	s.Do(command.ChangeProfile{UserID: bea.ID, Name: new("Beatriz")}, self, nil)
	s.Do(command.ChangeEmail{UserID: bea.ID, Email: "beatriz@example.com", Password: "correct horse"}, self, nil)
	shoptest.Await(s.Shop, func(e events.UserEmailReleased) bool { return e.UserID == bea.ID })
	s.Do(command.RegisterUser{Name: "Bea", Email: "bea@example.com", Password: "correct horse"}, eventlog.Actor{}, nil)
	s.Do(command.LogIn{Email: "bea@example.com", Password: "correct horse"}, eventlog.Actor{}, nil)
	s.Do(command.EraseUser{UserID: bea.ID, Password: "correct horse"}, self, nil)
	erased := shoptest.Await(s.Shop, func(e events.UserErased) bool { return e.UserID == bea.ID })
	shoptest.Await(s.Shop, func(e events.UserEmailReleased) bool { return e.EmailID == erased.EmailID })
	for began := time.Now(); ; {
		key, err := s.lastOf(keyring.Stream, keyring.Subject(string(bea.ID)))
		if err != nil {
			s.t.Fatal(err)
		}
		if strings.Contains(string(key.Data), `"destroyed":true`) {
			return bea.ID
		}
		if time.Since(began) > 10*time.Second {
			s.t.Fatal("the key is not destroyed")
		}
	}
}

// lastOf returns the last message on a subject.
func (s *fixture) lastOf(stream, subject string) (*jetstream.RawStreamMsg, error) {
	found, err := s.JS.Stream(s.t.Context(), stream)
	if err != nil {
		return nil, err
	}
	return found.GetLastMsgForSubject(s.t.Context(), subject)
}

// The rows are changed behind the service's back.
func TestRun_ReportsRowsThatDifferFromTheLog(t *testing.T) {
	const view = "views: view catalog/a/shelf: "
	for name, test := range map[string]struct {
		sql  string
		want []string
	}{
		"changed": {`UPDATE products SET category = 'SECRET', listed = 0 WHERE sku = '71053'`,
			[]string{view + "table products, row id=1 differs from the log in listed, category"}},
		"lost": {`DELETE FROM products WHERE sku = '71053'`,
			[]string{view + "table products has 1 rows; expected 2", view + "table products lacks the row id=1"}},
		"invented": {`INSERT INTO wishes (id, sequence, entity) VALUES ('made up', 7, 'x')`,
			[]string{view + "table wishes has 3 rows; expected 2", view + "table wishes has the row id=made up sequence=7, which the log does not lead to"}},
		"searched for in vain": {`DELETE FROM words_idx; DELETE FROM words_data WHERE id > 10`,
			[]string{view + `cannot be read: the file is damaged: fts5: corruption found reading blob 274877906945 from table "words"`}},
		"other words": {`UPDATE words SET name = 'SECRET' WHERE rowid = 2`,
			[]string{view + "table words, row rowid=2 differs from the log in name"}},
		"without an index": {`DROP INDEX products_listed`,
			[]string{view + "index products_listed is missing or differs from the schema"}},
		"of another log": {`UPDATE checkpoint SET event = 'other'`, nil}, // below: the id is a random one
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := newFixture(t), t.TempDir()
			s.catalogView(dir)
			s.exec(dir, "catalog/a/shelf-*.db", test.sql)
			r := s.audit(false, dir, catalog.New())
			if name != "of another log" {
				want(t, r, test.want...)
				return
			}
			if len(r.Violations) != 1 || !strings.HasPrefix(r.Violations[0].String(), `views: CATALOG:2 view catalog/a/shelf: the view saw event "other", but the log holds "`) {
				t.Errorf("got %v", r.Violations)
			}
		})
	}
}

// A view with personal data can be built again only with the keys, and only as long as they are
// there.
func TestRun_ComparesSealedViewsWithKeys(t *testing.T) {
	s, dir := newFixture(t), t.TempDir()
	newIdentity := func() *service.Service { return identity.New(identity.Config{AdminPassword: "correct horse battery"}) }
	svc := newIdentity()
	stop := s.Run(svc, "a", dir)
	s.Do(command.LogIn{Email: "admin@lonja.local", Password: "correct horse battery"}, eventlog.Actor{}, nil)
	stream, err := s.JS.Stream(t.Context(), identityStream)
	if err == nil {
		err = svc.Views[0].Await(t.Context(), map[string]uint64{identityStream: stream.CachedInfo().State.LastSeq})
	}
	if err := errors.Join(err, stop()); err != nil {
		t.Fatal(err)
	}
	view := func(keys eventlog.KeyRing) (ViewSummary, error) {
		r, err := Run(t.Context(), Config{JetStream: s.JS, Codec: shoptest.Codec, Streams: s.Streams, Services: []*service.Service{newIdentity()}, Dir: dir, Keys: keys})
		if err != nil {
			return ViewSummary{}, err
		}
		want(t, r)
		return r.Views[0], nil
	}
	if v, err := view(keyring.New(s.JS, s.KEKs)); err != nil || v.Rows == 0 || v.Note != "" {
		t.Errorf("with keys: %+v, %v", v, err)
	}
	if v, err := view(nil); err != nil || v.Rows != 0 || !strings.Contains(v.Note, "no keys") {
		t.Errorf("without keys: %+v, %v", v, err)
	}
	if v, err := view(keyring.New(s.JS, servicetest.MakeKEKs(t))); err == nil || !strings.Contains(err.Error(), "key-encryption key") {
		t.Errorf("with other keys: %+v, %v", v, err)
	}
	s.record(extend(withAna, anaErased, anaReleased)...)
	s.destroy("usr_ana")
	if v, err := view(keyring.New(s.JS, s.KEKs)); err != nil || v.Rows != 0 || !strings.Contains(v.Note, "yet to forget") {
		t.Errorf("behind an erasure: %+v, %v", v, err)
	}
}

func TestRun_ReportsADamagedFile(t *testing.T) {
	s, dir := newFixture(t), t.TempDir()
	file := s.catalogView(dir)
	s.exec(dir, "catalog/a/shelf-*.db", "PRAGMA wal_checkpoint(TRUNCATE)")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[4096:], make([]byte, 4096))
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.audit(false, dir, catalog.New())
	if len(r.Violations) != 1 || !strings.HasPrefix(r.Violations[0].String(), "views: view catalog/a/shelf: cannot be read: ") {
		t.Errorf("got %v", r.Violations)
	}
}

func TestRun_ReportsAPositionThatDiffersFromTheLog(t *testing.T) {
	s, dir := newFixture(t), t.TempDir()
	s.record(bought...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	svc := orders.New(orders.Config{})
	stop := s.Run(svc, "a", dir)
	for _, v := range svc.Views {
		if err := v.Await(ctx, map[string]uint64{"ORDERS": 3, "PAYMENTS": 2, "INVENTORY": 3, "CATALOG": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.exec(dir, "orders/a/book-*.db", `UPDATE positions SET status = 5 WHERE stream = 2 AND sequence = 2`)
	want(t, s.audit(false, dir, orders.New(orders.Config{})), "views: view orders/a/book: table positions, row order_id=ord_1 stream=2 sequence=2 differs from the log in status")
}

// catalogView runs catalog until its view holds two products, and returns the
// view's file.
func (s *fixture) catalogView(dir string) string {
	s.t.Helper()
	stop := s.Run(catalog.New(), "a", dir)
	other := productCreated.Product
	other.SKU = "71054"
	s.Do(command.CreateProduct{Product: productCreated.Product}, staff, nil)
	last := s.Do(command.CreateProduct{Product: other}, staff, nil)
	s.Get(query.Product{SKU: other.SKU}, staff, last.Position, &query.ProductView{})
	if err := stop(); err != nil {
		s.t.Fatal(err)
	}
	return s.file(dir, "catalog/a/shelf-*.db")
}

func (s *fixture) file(dir, pattern string) string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		s.t.Fatalf("files %v: %v", files, err)
	}
	return files[0]
}

// exec runs statements on a view's file behind its service's back.
func (s *fixture) exec(dir, pattern, statements string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.file(dir, pattern))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(s.t.Context(), statements); err != nil {
		s.t.Fatal(err)
	}
}
