package command

import "lonja/events/query"

// Each command has a method Answer for those who describe commands. It returns a value
// of the type that the command is answered with. Only the type of the value counts.

// Done is the answer to a command that returns nothing.
type Done struct{}

func (CreateProduct) Answer() any  { return query.ProductView{} }
func (ChangeProduct) Answer() any  { return query.ProductView{} }
func (ArchiveProduct) Answer() any { return query.ProductView{} }

func (CountStock) Answer() any  { return query.StockView{} }
func (AdjustStock) Answer() any { return query.StockView{} }

func (PlaceOrder) Answer() any   { return query.OrderView{} }
func (CancelOrder) Answer() any  { return query.OrderView{} }
func (ShipOrder) Answer() any    { return query.OrderView{} }
func (DeliverOrder) Answer() any { return query.OrderView{} }
func (RefundOrder) Answer() any  { return query.RefundView{} }
func (RetryRefund) Answer() any  { return query.RefundView{} }

func (SettlePayment) Answer() any { return query.PaymentView{} }
func (RetryPayment) Answer() any  { return query.PaymentView{} }
func (ReportPayment) Answer() any { return query.PaymentView{} }

func (RegisterUser) Answer() any   { return query.UserView{} }
func (LogIn) Answer() any          { return query.Tokens{} }
func (RefreshSession) Answer() any { return query.Tokens{} }
func (LogOut) Answer() any         { return Done{} }
func (SetRoles) Answer() any       { return query.UserView{} }
func (ChangeProfile) Answer() any  { return query.UserView{} }
func (ChangeEmail) Answer() any    { return query.UserView{} }
func (EraseUser) Answer() any      { return Done{} }
func (SealUser) Answer() any       { return query.UserView{} }
func (ResetPassword) Answer() any  { return query.UserView{} }
func (RotateKey) Answer() any      { return query.SigningKey{} }
