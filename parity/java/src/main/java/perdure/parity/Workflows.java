package perdure.parity;

import io.temporal.activity.Activity;
import io.temporal.activity.ActivityInterface;
import io.temporal.activity.ActivityOptions;
import io.temporal.common.RetryOptions;
import io.temporal.common.SearchAttributeKey;
import io.temporal.workflow.QueryMethod;
import io.temporal.workflow.UpdateMethod;
import io.temporal.workflow.UpdateValidatorMethod;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.time.Duration;

/** The workflows and the activity of {@link Skipping}; each takes long, by its own clock. */
final class Workflows {
  static final SearchAttributeKey<String> STAGE = SearchAttributeKey.forKeyword("Stage");

  private Workflows() {}

  /** Sleeps. */
  @WorkflowInterface
  public interface Nap {
    @WorkflowMethod
    String nap(int days);
  }

  public static final class NapImpl implements Nap {
    @Override
    public String nap(int days) {
      Workflow.sleep(Duration.ofDays(days));
      return "awake";
    }
  }

  /** Fails until its fourth attempt. */
  @ActivityInterface
  public interface Stubborn {
    int attempt();
  }

  public static final class StubbornImpl implements Stubborn {
    @Override
    public int attempt() {
      int attempt = Activity.getExecutionContext().getInfo().getAttempt();
      if (attempt < 4) {
        throw new IllegalStateException("not yet");
      }
      return attempt;
    }
  }

  /** Tries an activity again after an hour, after two and after four. */
  @WorkflowInterface
  public interface Insist {
    @WorkflowMethod
    int insist();
  }

  public static final class InsistImpl implements Insist {
    private final Stubborn stubborn =
        Workflow.newActivityStub(
            Stubborn.class,
            ActivityOptions.newBuilder()
                .setStartToCloseTimeout(Duration.ofMinutes(1))
                .setRetryOptions(
                    RetryOptions.newBuilder()
                        .setInitialInterval(Duration.ofHours(1))
                        .setBackoffCoefficient(2)
                        .build())
                .build());

    @Override
    public int insist() {
      return stubborn.attempt();
    }
  }

  /** Goes on as a new run each day. */
  @WorkflowInterface
  public interface Daily {
    @WorkflowMethod
    int daily(int day, int days);
  }

  public static final class DailyImpl implements Daily {
    @Override
    public int daily(int day, int days) {
      Workflow.sleep(Duration.ofDays(1));
      if (day < days) {
        Workflow.newContinueAsNewStub(Daily.class).daily(day + 1, days);
      }
      return day;
    }
  }

  /** In each of its runs waits for a child that goes on as new, and then goes on as new itself. */
  @WorkflowInterface
  public interface Parent {
    @WorkflowMethod
    int parent(int run, int runs, int days);
  }

  public static final class ParentImpl implements Parent {
    @Override
    public int parent(int run, int runs, int days) {
      int told = Workflow.newChildWorkflowStub(Daily.class).daily(1, days);
      if (run < runs) {
        Workflow.newContinueAsNewStub(Parent.class).parent(run + 1, runs, days);
      }
      return told;
    }
  }

  /** Waits 30 days for an approval, and keeps a search attribute that says how far it is. */
  @WorkflowInterface
  public interface Order {
    @WorkflowMethod
    String order();

    @UpdateMethod
    String approve(String by);

    @UpdateValidatorMethod(updateName = "approve")
    void validateApprove(String by);

    @QueryMethod
    String stage();
  }

  public static final class OrderImpl implements Order {
    private String stage = "new";

    @Override
    public String order() {
      enter("waiting");
      boolean approved = Workflow.await(Duration.ofDays(30), () -> stage.startsWith("approved"));
      enter(approved ? stage : "expired");
      Workflow.sleep(Duration.ofDays(7));
      return stage;
    }

    @Override
    public String approve(String by) {
      stage = "approved by " + by;
      return stage;
    }

    @Override
    public void validateApprove(String by) {
      if (by.isEmpty()) {
        throw new IllegalArgumentException("by whom?");
      }
    }

    @Override
    public String stage() {
      return stage;
    }

    private void enter(String next) {
      stage = next;
      Workflow.upsertTypedSearchAttributes(STAGE.valueSet(next));
    }
  }
}
