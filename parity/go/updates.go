package main

import (
	"errors"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Updates, alone and together with what else happens to a workflow.
func init() {
	scenarios["is_updated"] = isUpdated
	scenarios["update_is_known_by_its_id"] = updateIsKnownByItsID
	scenarios["update_is_polled"] = updateIsPolled
	scenarios["update_meets_a_signal"] = updateMeetsASignal
	scenarios["update_outlives_its_worker"] = updateOutlivesItsWorker
	scenarios["update_after_continue_as_new"] = updateAfterContinueAsNew
	scenarios["update_of_what_has_closed"] = updateOfWhatHasClosed
	scenarios["workflow_ends_before_its_update"] = workflowEndsBeforeItsUpdate
	scenarios["update_with_start"] = updateWithStart
}

// account has the updates "add", which takes only what is positive, and "slow", which waits for the signal "go on".
// It ends with its total at the signal "end", and begins anew at the signal "anew".
var account = flow{"account", func(ctx workflow.Context, total int) (int, error) {
	var ended, anew, goOn bool
	must(workflow.SetUpdateHandlerWithOptions(ctx, "add", func(_ workflow.Context, amount int) (int, error) {
		if amount > 1000 {
			return 0, temporal.NewNonRetryableApplicationError("too much", "TooMuch", nil, amount)
		}
		total += amount
		return total, nil
	}, workflow.UpdateHandlerOptions{Validator: func(amount int) error {
		if amount <= 0 {
			return errors.New("nothing to add")
		}
		return nil
	}}))
	must(workflow.SetUpdateHandlerWithOptions(ctx, "slow", func(ctx workflow.Context, word string) (string, error) {
		must(workflow.Await(ctx, func() bool { return goOn }))
		return "slow " + word, nil
	}, workflow.UpdateHandlerOptions{UnfinishedPolicy: workflow.HandlerUnfinishedPolicyAbandon}))
	on := func(name string, act func()) {
		workflow.Go(ctx, func(ctx workflow.Context) {
			for workflow.GetSignalChannel(ctx, name).Receive(ctx, nil) {
				act()
			}
		})
	}
	on("end", func() { ended = true })
	on("anew", func() { anew = true })
	on("go on", func() { goOn = true })
	on("double", func() { total *= 2 })
	must(workflow.Await(ctx, func() bool { return ended || anew }))
	if anew {
		return 0, workflow.NewContinueAsNewError(ctx, "account", total)
	}
	return total, nil
}}

func (s *session) update(name, id string, stage client.WorkflowUpdateStage, args ...any) (client.WorkflowUpdateHandle, error) {
	return s.client.UpdateWorkflow(s.ctx, client.UpdateWorkflowOptions{
		WorkflowID: s.id, UpdateID: id, UpdateName: name, Args: args, WaitForStage: stage,
	})
}

// noteUpdate notes the result of an update, or the error it was refused with.
func (s *session) noteUpdate(key string, handle client.WorkflowUpdateHandle, err error) {
	var result any
	if err == nil {
		err = handle.Get(s.ctx, &result)
	}
	if err != nil {
		s.note(key, err)
		return
	}
	s.note(key, result)
}

// execute sends an update, waits for its result and notes it.
func (s *session) execute(key, name, id string, args ...any) {
	handle, err := s.update(name, id, client.WorkflowUpdateStageCompleted, args...)
	s.noteUpdate(key, handle, err)
}

// stage is how far an update is, or the error of the question.
func (s *session) stage(id string) any {
	reply, err := s.client.WorkflowService().PollWorkflowExecutionUpdate(s.ctx, &workflowservice.PollWorkflowExecutionUpdateRequest{
		Namespace: namespace,
		UpdateRef: &updatepb.UpdateRef{WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: s.id}, UpdateId: id},
	})
	if err != nil {
		return told(err)
	}
	return reply.Stage.String()
}

func (s *session) signal(name string, value any) {
	must(s.client.SignalWorkflow(s.ctx, s.id, "", name, value))
}

func isUpdated(s *session) error {
	s.work(account)
	run := s.start("account", 0)
	s.settled(s.id)
	s.execute("first", "add", "one", 5)
	s.execute("second", "add", "two", 7)
	s.execute("rejected", "add", "three", -1)
	s.execute("failed", "add", "four", 5000)
	s.execute("unknown", "nonsense", "five")
	s.execute("wrong argument", "add", "six", "words")
	s.execute("after all", "add", "seven", 1)
	s.note("stage of the rejected one", s.stage("three"))
	s.signal("end", nil)
	s.await("result", run)
	return nil
}

func updateIsKnownByItsID(s *session) error {
	s.work(account)
	run := s.start("account", 0)
	s.settled(s.id)
	s.execute("first", "add", "same", 5)
	s.execute("again", "add", "same", 6)
	s.execute("of another name", "slow", "same", "x")
	slow, err := s.update("slow", "slow", client.WorkflowUpdateStageAccepted, "x")
	must(err)
	again, err := s.update("slow", "slow", client.WorkflowUpdateStageAccepted, "y")
	must(err)
	s.signal("go on", nil)
	s.noteUpdate("slow", slow, nil)
	s.noteUpdate("slow again", again, nil)
	s.settled(s.id)
	s.signal("end", nil)
	s.await("result", run)
	return nil
}

func updateIsPolled(s *session) error {
	s.work(account)
	run := s.start("account", 0)
	s.settled(s.id)
	s.note("stage of an unknown one", s.stage("slow"))
	_, err := s.update("slow", "slow", client.WorkflowUpdateStageAccepted, "x")
	must(err)
	s.note("stage", s.stage("slow"))
	s.signal("go on", nil)
	handle := s.client.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{WorkflowID: s.id, UpdateID: "slow"})
	s.noteUpdate("slow", handle, nil)
	s.note("stage at the end", s.stage("slow"))
	s.settled(s.id)
	s.signal("end", nil)
	s.await("result", run)
	s.noteUpdate("slow after the close", handle, nil)
	return nil
}

func updateMeetsASignal(s *session) error {
	run := s.start("account", 1)
	s.signal("double", nil)
	type outcome struct {
		handle client.WorkflowUpdateHandle
		err    error
	}
	sent := make(chan outcome, 1)
	go func() {
		handle, err := s.update("add", "added", client.WorkflowUpdateStageCompleted, 3)
		sent <- outcome{handle, err}
	}()
	s.until(func() bool {
		return s.stage("added") == enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED.String()
	})
	s.signal("double", nil)
	s.work(account)
	done := <-sent
	s.noteUpdate("added", done.handle, done.err)
	s.settled(s.id)
	s.signal("end", nil)
	s.await("result", run)
	return nil
}

func updateOutlivesItsWorker(s *session) error {
	first := s.register(worker.Options{}, account)
	must(first.Start())
	run := s.start("account", 0)
	s.settled(s.id)
	s.execute("by the first", "add", "one", 5)
	slow, err := s.update("slow", "slow", client.WorkflowUpdateStageAccepted, "x")
	must(err)
	first.Stop()
	s.signal("go on", nil)
	s.work(account)
	s.noteUpdate("slow", slow, nil)
	s.execute("by the second", "add", "two", 7)
	s.signal("end", nil)
	s.await("result", run)
	return nil
}

func updateAfterContinueAsNew(s *session) error {
	s.work(account)
	run := s.start("account", 0)
	s.settled(s.id)
	s.execute("in the first run", "add", "same", 5)
	s.signal("anew", nil)
	s.until(func() bool {
		now, err := s.client.DescribeWorkflowExecution(s.ctx, s.id, "")
		return err == nil && now.WorkflowExecutionInfo.Execution.RunId != run.GetRunID()
	})
	s.settled(s.id)
	s.execute("in the second run", "add", "same", 6)
	_, err := s.client.UpdateWorkflow(s.ctx, client.UpdateWorkflowOptions{
		WorkflowID: s.id, RunID: run.GetRunID(), UpdateID: "late", UpdateName: "add", Args: []any{1},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	s.note("of the first run", err)
	s.signal("end", nil)
	s.await("result", run)
	return nil
}

func updateOfWhatHasClosed(s *session) error {
	s.execute("of a workflow that is not there", "add", "one", 5)
	s.work(account)
	run := s.start("account", 0)
	s.settled(s.id)
	s.execute("while it runs", "add", "one", 5)
	s.signal("end", nil)
	s.await("result", run)
	s.execute("known", "add", "one", 5)
	s.execute("new", "add", "two", 5)
	return nil
}

func workflowEndsBeforeItsUpdate(s *session) error {
	s.work(account)
	run := s.start("account", 0)
	s.settled(s.id)
	slow, err := s.update("slow", "slow", client.WorkflowUpdateStageAccepted, "x")
	must(err)
	s.signal("end", nil)
	s.await("result", run)
	s.noteUpdate("slow", slow, nil)
	return nil
}

func updateWithStart(s *session) error {
	s.work(account)
	send := func(key, id string, conflict enumspb.WorkflowIdConflictPolicy, amount int) {
		options := s.options()
		options.WorkflowIDConflictPolicy = conflict
		start := s.client.NewWithStartWorkflowOperation(options, "account", 100)
		handle, err := s.client.UpdateWithStartWorkflow(s.ctx, client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: start,
			UpdateOptions: client.UpdateWorkflowOptions{
				UpdateID: id, UpdateName: "add", Args: []any{amount}, WaitForStage: client.WorkflowUpdateStageCompleted,
			},
		})
		s.noteUpdate(key, handle, err)
		if err == nil {
			run, err := start.Get(s.ctx)
			must(err)
			s.saw(run)
		}
	}
	send("starts", "one", enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, 5)
	send("finds it running", "two", enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, 7)
	send("is refused", "three", enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, 1)
	send("is rejected", "four", enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, -1)
	send("is known", "one", enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, 9)
	s.settled(s.id)
	s.signal("end", nil)
	s.await("result", s.client.GetWorkflow(s.ctx, s.id, ""))
	return nil
}
