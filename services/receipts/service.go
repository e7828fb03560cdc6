// Package receipts is the service that owns the receipts of paid orders, and the credit notes
// of money that was given back.
//
// It records on the stream RECEIPTS, and reacts to the events of orders and payments. It
// guarantees:
//
//   - An order that is paid has one receipt, also if it costs nothing. Receipts are numbered
//     1, 2, 3 and so on, in the order in which the orders were paid, without a gap.
//   - A refund of an order with a receipt has one credit note. Credit notes have numbers of
//     their own, without a gap, too.
//   - A refund of an order that never was paid has none: its money came too late, when the order
//     was cancelled already, so no receipt was given for it.
//   - A customer sees only the receipts of their own orders. To anyone else but staff they do
//     not exist.
//
// A series of numbers is one entity, a book. The next number is decided on the book's state and
// recorded on the condition that nothing else was, so no race, crash or redelivery makes a gap.
//
// Package catalog describes the files.
package receipts

import (
	"cmp"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Config configures receipts. The zero Config works.
type Config struct {
	keeps int // entries in the state of a book; 0 means keptEntries
}

// New returns a receipts service that has not started. It runs once.
func New(config Config) *service.Service {
	receiptsView := projection.New(receiptsDefinition)
	books := decider.New(bookTypeOf(cmp.Or(config.keeps, keptEntries)))
	issued := newEntryLookup(receiptsView, books, events.ReceiptBook, `SELECT 1 FROM receipts WHERE order_id = ?`)
	credited := newEntryLookup(receiptsView, books, events.CreditBook, `SELECT 1 FROM credits WHERE refund = ?`)
	return &service.Service{
		Name:  "receipts",
		Views: []*projection.View{receiptsView},
		Reactions: []service.Reaction{
			{Consumer: "receipts-on-orders", Handlers: []service.Handler{
				service.ReactWith(books, receiptBook, lookUpIssued(issued), issue).Idempotent(),
			}},
			{Consumer: "receipts-on-payments", Handlers: []service.Handler{
				service.ReactWith(books, creditBook, lookUpRefund(receiptsView, credited), credit).Idempotent(),
			}},
		},
		Queries: []service.Query{
			service.Answer(receiptsView, findReceipt(receiptsView)).Timeout(issueTimeout+5*time.Second).
				ForEntity("ORDERS", func(q query.Receipt) string { return "events.order." + string(q.OrderID) + ".>" }),
		},
	}
}

func receiptBook(events.OrderPaid) string { return events.ReceiptBook }

func creditBook(events.PaymentRefunded) string { return events.CreditBook }
