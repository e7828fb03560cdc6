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

// settled audits until nothing is under way, or for ten seconds.
func (s *scene) settled(dir string) (r *Report) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if r = s.audited(true, dir, everyService()...); r.Found[Settled] == 0 {
			return r
		}
	}
	return r
}

// order places an order for ana, of what was on offer after a position, and
// returns it once it is awaiting its payment or cancelled.
func (s *scene) order(pieces int64, after string) (o query.OrderView) {
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

// pay tells of an order's payment what the customer said, once it is asked for.
func (s *scene) pay(id events.OrderID, outcome string) {
	s.t.Helper()
	shoptest.Await(s.Shop, func(e events.PaymentRequested) bool { return e.OrderID == id })
	s.Do(command.SettlePayment{PaymentID: events.PaymentFor(id), Outcome: outcome}, eventlog.Actor{}, nil)
}

func TestAShopThatDoesAllItCanIsWithoutFault(t *testing.T) {
	s, dir := newScene(t), t.TempDir()
	for _, svc := range everyService() {
		s.Run(svc, "a", dir)
	}
	s.Run(orders.New(), "b", dir)
	listed := s.Do(command.CreateProduct{Product: offers.Product}, staff, nil)
	s.Do(command.CountStock{SKU: "71053", OnHand: 10}, staff, nil)
	delivered, declined, returned := s.order(2, listed.Position).ID, s.order(1, listed.Position).ID, s.order(3, listed.Position).ID
	s.order(1, listed.Position) // is never paid
	if o := s.order(100, listed.Position); o.Status != query.Cancelled {
		t.Fatalf("more than there is: %+v", o)
	}
	s.pay(delivered, command.Pay)
	s.pay(declined, command.Decline)
	s.pay(returned, command.Pay)
	for _, id := range []events.OrderID{delivered, returned} {
		shoptest.Await(s.Shop, func(e events.OrderPaid) bool { return e.OrderID == id })
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

	r := s.settled(dir)
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

// What was done to the rows behind the service's back.
func TestRowsThatTheLogDoesNotMakeAreNamed(t *testing.T) {
	const view = "views: view catalog/a/shelf: "
	for name, test := range map[string]struct {
		sql  string
		want []string
	}{
		"changed": {`UPDATE products SET category = 'SECRET', listed = 0 WHERE sku = '71053'`,
			[]string{view + "table products, row id=1 differs from what the log makes in listed, category"}},
		"lost": {`DELETE FROM products WHERE sku = '71053'`,
			[]string{view + "table products has 1 rows; the log makes 2", view + "table products lacks the row id=1, which the log makes"}},
		"invented": {`INSERT INTO wishes (id, entity) VALUES ('made up', 'x')`,
			[]string{view + "table wishes has 3 rows; the log makes 2", view + "table wishes has the row id=made up, which the log does not make"}},
		"searched for in vain": {`DELETE FROM words_idx; DELETE FROM words_data WHERE id > 10`,
			[]string{view + `its file is of no use: it is damaged: fts5: corruption found reading blob 274877906945 from table "words"`}},
		"other words": {`UPDATE words SET name = 'SECRET' WHERE rowid = 2`,
			[]string{view + "table words, row rowid=2 differs from what the log makes in name"}},
		"without an index": {`DROP INDEX products_listed`,
			[]string{view + "lacks index products_listed, or has it otherwise"}},
		"of another log": {`UPDATE checkpoint SET event = 'other'`, nil}, // below: the id is a random one
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := newScene(t), t.TempDir()
			s.shelf(dir)
			s.changes(dir, "catalog/a/shelf-*.db", test.sql)
			r := s.audited(false, dir, catalog.New())
			if name != "of another log" {
				want(t, r, test.want...)
				return
			}
			if len(r.Violations) != 1 || !strings.HasPrefix(r.Violations[0].String(), `views: CATALOG:2 view catalog/a/shelf: the view saw "other" here, the log has "`) {
				t.Errorf("got %v", r.Violations)
			}
		})
	}
}

func TestAFileThatIsDamagedIsNamed(t *testing.T) {
	s, dir := newScene(t), t.TempDir()
	file := s.shelf(dir)
	s.changes(dir, "catalog/a/shelf-*.db", "PRAGMA wal_checkpoint(TRUNCATE)")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[4096:], make([]byte, 4096))
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.audited(false, dir, catalog.New())
	if len(r.Violations) != 1 || !strings.HasPrefix(r.Violations[0].String(), "views: view catalog/a/shelf: its file is of no use: ") {
		t.Errorf("got %v", r.Violations)
	}
}

func TestARowWithoutAKeyIsNamedByAnIndex(t *testing.T) {
	s, dir := newScene(t), t.TempDir()
	s.says(bought...)
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
	s.changes(dir, "orders/a/book-*.db", `UPDATE facts SET data = '{}' WHERE stream = 'PAYMENTS' AND sequence = 2`)
	want(t, s.audited(false, dir, orders.New()),
		"views: view orders/a/book: table facts has the row order_id=ord_1 stream=PAYMENTS sequence=2, which the log does not make",
		"views: view orders/a/book: table facts lacks the row order_id=ord_1 stream=PAYMENTS sequence=2, which the log makes")
}

// shelf runs catalog until it has shelved two products, and returns its file.
func (s *scene) shelf(dir string) string {
	s.t.Helper()
	stop := s.Run(catalog.New(), "a", dir)
	other := offers.Product
	other.SKU = "71054"
	s.Do(command.CreateProduct{Product: offers.Product}, staff, nil)
	last := s.Do(command.CreateProduct{Product: other}, staff, nil)
	s.Get(query.Product{SKU: other.SKU}, staff, last.Position, &query.ProductView{})
	if err := stop(); err != nil {
		s.t.Fatal(err)
	}
	return s.file(dir, "catalog/a/shelf-*.db")
}

func (s *scene) file(dir, pattern string) string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		s.t.Fatalf("files %v: %v", files, err)
	}
	return files[0]
}

// changes changes a view's file behind its service's back.
func (s *scene) changes(dir, pattern, statements string) {
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
