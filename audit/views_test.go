package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/eventlog"
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
		Identity: identity.Config{AdminPassword: "correct horse battery"}, Payments: payments.Config{Sandbox: true},
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
	s.Run(orders.New(), "b", dir)
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
		"invented": {`INSERT INTO wishes (id, entity) VALUES ('made up', 'x')`,
			[]string{view + "table wishes has 3 rows; expected 2", view + "table wishes has the row id=made up, which the log does not lead to"}},
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

func TestRun_NamesARowWithoutAKeyByAnIndex(t *testing.T) {
	s, dir := newFixture(t), t.TempDir()
	s.record(bought...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	svc := orders.New()
	stop := s.Run(svc, "a", dir)
	for _, v := range svc.Views {
		if err := v.Await(ctx, map[string]uint64{"ORDERS": 3, "PAYMENTS": 2, "INVENTORY": 3, "CATALOG": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.exec(dir, "orders/a/book-*.db", `UPDATE facts SET data = '{}' WHERE stream = 'PAYMENTS' AND sequence = 2`)
	want(t, s.audit(false, dir, orders.New()),
		"views: view orders/a/book: table facts has the row order_id=ord_1 stream=PAYMENTS sequence=2, which the log does not lead to",
		"views: view orders/a/book: table facts lacks the row order_id=ord_1 stream=PAYMENTS sequence=2")
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
