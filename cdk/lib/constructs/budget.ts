import { Stack } from 'aws-cdk-lib';
import { CfnBudget } from 'aws-cdk-lib/aws-budgets';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';

export interface BudgetProps {
  /** The value of the tag `stage`: what has it counts. */
  readonly stage: string;
  readonly dollarsAMonth: number;
  readonly topic: ITopic;
}

/** Of the budget, in percent. */
const SPENT = 80;
const EXPECTED = 100;

/** A monthly budget of a stage. It tells the alarm topic what CloudWatch cannot: what all services together cost. */
export class Budget extends Construct {
  constructor(scope: Construct, id: string, { stage, dollarsAMonth, topic }: BudgetProps) {
    super(scope, id);
    const { account } = Stack.of(this);
    // https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-sns-policy.html
    const { policyDependable } = topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'BudgetsOfThisAccount',
        principals: [new ServicePrincipal('budgets.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: {
          StringEquals: { 'aws:SourceAccount': account },
          ArnLike: { 'aws:SourceArn': `arn:${Stack.of(this).partition}:budgets::${account}:*` },
        },
      }),
    );
    const tell = (notificationType: string, threshold: number): CfnBudget.NotificationWithSubscribersProperty => ({
      notification: { notificationType, comparisonOperator: 'GREATER_THAN', threshold, thresholdType: 'PERCENTAGE' },
      subscribers: [{ subscriptionType: 'SNS', address: topic.topicArn }],
    });
    const budget = new CfnBudget(this, 'Budget', {
      budget: {
        budgetType: 'COST',
        timeUnit: 'MONTHLY',
        budgetLimit: { amount: dollarsAMonth, unit: 'USD' },
        // A tag that a user gave, and its value.
        costFilters: { TagKeyValue: [`user:stage$${stage}`] },
      },
      notificationsWithSubscribers: [tell('ACTUAL', SPENT), tell('FORECASTED', EXPECTED)],
    });
    if (policyDependable !== undefined) budget.node.addDependency(policyDependable);
  }
}
