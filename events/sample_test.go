package events_test

import (
	"encoding/json"
	"testing"
	"time"

	"lonja/events"
)

// sample returns the JSON of an event of a type with every field set, for a new golden file.
func sample(t *testing.T, typ string) []byte {
	t.Helper()
	for _, e := range samples {
		if events.Type(e) == typ {
			data, err := json.MarshalIndent(e, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			return append(data, '\n')
		}
	}
	t.Fatalf("no sample of %s", typ)
	return nil
}

var (
	at      = time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)
	price   = events.Money{Amount: 295, Currency: "GBP"}
	twice   = events.Money{Amount: 590, Currency: "GBP"}
	lantern = events.Product{SKU: "71053", Name: "White metal lantern", Price: price, Description: "Hangs well", Category: "light", ImageURL: "https://shop.example/71053.jpg"}
	lines   = []events.Quantity{{SKU: "71053", Quantity: 2}}
)

const (
	order   = events.OrderID("ord_0198f3c27c1e7d50a4a20123456789ab")
	payment = events.PaymentID("pay_0198f3c27c1e7d50a4a20123456789ab")
	refund  = events.RefundID("ref_0198f3c27c1e7d50a4a2fedcba987654")
	ana     = events.UserID("usr_5f2d6a8c9b1e4f7a")
	address = events.UserID("usr_c41a7e52d7f04c9b")
	session = events.SessionID("ses_0198f3c27c1e7d50a4a2ba9876543210")
)

var samples = []events.Event{
	events.ProductCreated{Product: lantern},
	events.ProductChanged{Product: lantern},
	events.ProductArchived{SKU: "71053"},
	events.ProductRestored{Product: lantern},

	events.StockCounted{Location: "main", Level: events.Level{SKU: "71053", OnHand: 10, Reserved: 2}},
	events.StockAdjusted{Location: "main", Level: events.Level{SKU: "71053", OnHand: 9, Reserved: 2}, Delta: -1, Reason: "broken"},
	events.StockReserved{Location: "main", OrderID: order, Lines: lines, ExpiresAt: at},
	events.StockRefused{Location: "main", OrderID: order, Shortages: []events.Shortage{{SKU: "71053", Wanted: 2, Available: 1}}},
	events.StockCommitted{Location: "main", OrderID: order, Lines: lines, FromAvailable: true},
	events.StockReleased{Location: "main", OrderID: order, Lines: lines, Reason: events.ReleasedExpired},
	events.StockReturned{Location: "main", OrderID: order, Lines: lines},
	events.StockRestocked{Location: "main", OrderID: order, RefundID: refund, Lines: lines, Kept: []events.Quantity{{SKU: "85123A", Quantity: 1}}, Earlier: []events.RefundID{"ref_0198f3c27c1e7d50a4a20123456789cd"}},

	events.OrderPlaced{OrderID: order, CustomerID: ana, Total: twice, TotalItems: 2,
		Items: []events.OrderItem{{SKU: "71053", Name: "White metal lantern", Quantity: 2, UnitPrice: price, LineTotal: twice}}},
	events.OrderAwaitingPayment{OrderID: order, Amount: twice},
	events.OrderPaid{OrderID: order, PaymentID: payment, Amount: twice, Lines: lines},
	events.OrderShipped{OrderID: order},
	events.OrderDelivered{OrderID: order},
	events.OrderCancelled{OrderID: order, Reason: events.CancelledByCustomer, WasPaid: true},

	events.OrderRefundRequested{OrderID: order, RefundID: refund, Amount: twice, Lines: []events.RefundLine{{SKU: "71053", Quantity: 2, Restock: true, Amount: twice}}, Reason: "arrived broken"},
	events.OrderRefundFailed{OrderID: order, RefundID: refund, Amount: twice},

	events.PaymentRequested{PaymentID: payment, OrderID: order, Amount: twice, Provider: "sandbox", URL: "/sandbox/payments/" + string(payment), ExpiresAt: at},
	events.PaymentCaptured{PaymentID: payment, OrderID: order, Amount: twice, Unwanted: true, Again: true, Attempt: 2, Capture: "pi_3Q"},
	events.PaymentDeclined{PaymentID: payment, OrderID: order},
	events.PaymentExpired{PaymentID: payment, OrderID: order},
	events.PaymentVoided{PaymentID: payment, OrderID: order},
	events.PaymentRefunded{PaymentID: payment, OrderID: order, Amount: twice, RefundID: refund, Partial: true, Again: true, Attempt: 2},
	events.PaymentOpened{PaymentID: payment, OrderID: order, Attempt: 1, Reference: "cs_test_a1", URL: "https://checkout.stripe.com/c/pay/cs_test_a1"},
	events.PaymentAttemptFailed{PaymentID: payment, OrderID: order, Attempt: 1, Reason: events.AttemptDeclined, Detail: "the bank declined"},
	events.PaymentRetried{PaymentID: payment, OrderID: order, Attempt: 2, Provider: "sandbox", URL: "/sandbox/payments/" + string(payment)},
	events.PaymentPageClosed{PaymentID: payment, OrderID: order, Attempt: 1},
	events.PaymentFlagged{PaymentID: payment, OrderID: order, Attempt: 1, Reason: events.FlaggedAmount, Detail: "stripe reports 5.90 GBP for cs_test_a1; 5.95 GBP were requested"},
	events.PaymentRefundRequested{PaymentID: payment, OrderID: order, RefundID: refund, Amount: twice},
	events.PaymentRefundFailed{PaymentID: payment, OrderID: order, RefundID: refund, Amount: twice, Detail: "the account is closed", Unknown: true},

	events.ReceiptIssued{Number: 17, OrderID: order, Amount: twice},
	events.ReceiptCredited{Number: 3, OrderID: order, Receipt: 17, Refund: "3q2-7wAAQACAAAAAAAAAAQ", Amount: price},

	events.UserRegistered{UserID: ana, Name: "Ana", Email: "ana@example.com", PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", Roles: []string{events.Customer}, EmailID: address},
	events.UserEmailClaimed{EmailID: address, UserID: ana, Email: "ana@example.com", Name: "Ana", PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", Roles: []string{events.Customer}},
	events.UserEmailReleased{EmailID: address, UserID: ana},
	events.UserEmailChanged{UserID: ana, Email: "ana@example.org", EmailID: address, Previous: "usr_1b9f"},
	events.UserProfileChanged{UserID: ana, Name: "Ana María", Locale: "es"},
	events.UserSealed{UserID: ana, Name: "Ana", Email: "ana@example.com", PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"},
	events.UserErased{UserID: ana, EmailID: address},
	events.UserRolesChanged{UserID: ana, Roles: []string{events.Customer, events.Staff}},
	events.UserPasswordChanged{UserID: ana, PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"},
	events.SessionStarted{SessionID: session, UserID: ana, TokenHash: "9f86d081884c7d65", ExpiresAt: at},
	events.SessionRotated{SessionID: session, UserID: ana, TokenHash: "60303ae22b998861"},
	events.SessionEnded{SessionID: session, UserID: ana, Reason: events.EndedByLogout},
	events.LoginStarted{Login: login(0)},
	events.LoginRefreshed{Login: login(1)},
	events.LoginEnded{Login: login(1), Reason: events.EndedByReuse},
	events.RealmOpened{Secret: []byte("0123456789abcdef0123456789abcdef")},
	events.RealmKeyAdded{KeyID: "key_1", Seed: []byte("0123456789abcdef0123456789abcdef"), PublicKey: []byte("fedcba9876543210fedcba9876543210"), ActiveAt: at},
	events.RealmAdminAppointed{UserID: ana},
}

// login returns a session after a number of refreshes.
func login(refreshes int) events.Login {
	return events.Login{SessionID: "lgn_0198f3c27c1e7d50a4a2ba9876543210", UserID: ana, TokenHash: "9f86d081884c7d65", Refreshes: refreshes,
		StartedAt: at, ExpiresAt: at.Add(30 * 24 * time.Hour), Position: 17, PasswordAt: 3}
}
